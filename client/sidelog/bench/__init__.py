"""``sidelog bench``: what logging costs a training, against none and against inline tensorboardX."""
