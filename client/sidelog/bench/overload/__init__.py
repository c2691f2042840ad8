"""What a daemon does with ten times as many pictures as it can draw: memory, drops, what is newest, scalars."""
