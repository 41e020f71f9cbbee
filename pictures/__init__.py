"""How a picture file becomes the pixels that a model of pictures takes: the same in training and in the service.

Needs numpy and Pillow, and none of the other rooms.
"""

from pictures.preparation import BadPicture, Preparation

__all__ = ["BadPicture", "Preparation"]
