"""Encoded pictures: what is decoded, and what is refused by its first bytes."""

from __future__ import annotations

import io
from functools import partial

import pytest
from PIL import Image

from service.media.effort import Effort
from service.media.items import Body, ItemSpec, Part, inpainting_of, items_of
from service.media.types import MULTIPART, PNG
from service.protocol.errors import WrongValue


def png(width: int, height: int, mode: str) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "LA"])
def test_a_picture_of_another_size_is_refused_before_it_is_decoded(mode: str) -> None:
    vast, spec = png(3000, 3000, mode), ItemSpec((28, 28), is_image=True)
    none = Effort(28 * 28)  # pixels that may be decoded
    with pytest.raises(WrongValue, match="is 3000x3000; the model takes 28x28; fit=true converts"):
        none.spent_by(lambda: items_of(Body(PNG, [Part("body", PNG, vast)]), spec, False, 10))
    for image, mask in ((vast, png(28, 28, "L")), (png(28, 28, "L"), vast)):
        body = Body(MULTIPART, [Part("image", PNG, image), Part("mask", PNG, mask)])
        with pytest.raises(WrongValue, match="is 3000x3000"):
            Effort(28 * 28).spent_by(partial(inpainting_of, body, spec, False))
