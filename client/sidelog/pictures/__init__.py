"""From what a caller gives to what is copied and how it is to be drawn: selection and every check, no copy yet.

Nothing is guessed from the values. Where a shape could mean two things, the error names the call that says which.

    options    what a caller says beside the picture, in the recipe's types
    selection  what is selected, and the checks that all have in common
    lists      pictures of one shape, in a list
    images     add_image, add_images
    maps       add_feature_map, add_label_map
    encoding   PNG or JPEG
"""

from sidelog.pictures.encoding import encoded_as
from sidelog.pictures.images import select_image, select_images
from sidelog.pictures.maps import select_feature_map, select_label_map
from sidelog.pictures.options import GridArguments
from sidelog.pictures.selection import Selection

__all__ = [
    "GridArguments",
    "Selection",
    "encoded_as",
    "select_feature_map",
    "select_image",
    "select_images",
    "select_label_map",
]
