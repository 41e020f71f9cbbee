"""One level of a lattice flow: groups of pixels to latents, given the pixels of all groups before."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from flows.nets.interpolation import Interpolation, logits
from flows.nets.lattice_net import CellNet, PixelCode, PlaceNet
from flows.transforms.lattice_cells import CELL
from flows.transforms.lattice_groups import CODE, LevelGroups
from flows.transforms.mixture import LEVELS, UnitMixture
from flows.transforms.stepped_mixture import SteppedMixture
from flows.transforms.transform import Transform, no_volume_change


class LatticeLevel(Transform):
    """Maps the pixels of one level's groups to latents, by mixtures whose parameters a net computes from known pixels.

    y = logit F(x; net(known pixels)) for each pixel of the level, with F the distribution function of ``UnitMixture``;
    all other entries pass unchanged. One net serves all groups. For each group the image is shifted so that the group's
    pixels have the same offset in their cells, and its colours are rotated so that the group's colour is first: the
    pixels of one level lie between known ones in similar ways, so all groups share what the net learns.

    With ``joint`` one pass of the net serves all colours of a place: its body sees what is known before the first of
    them, and a head for each colour sees the colours before it in the same group. The colours are not rotated.
    ``head_layers`` are the layers of such a head.

    With ``anywhere`` the nets do not know the place of a cell, so the same weights serve pictures of any size.

    With ``template``, of a joint level, a net may be given what is usual at each place of a picture. With
    ``interpolate``, of a joint level, the means of the mixtures start from ``Interpolation``'s guess.

    With ``stepped`` the densities are flat within each grey level (``SteppedMixture``), and nets read grey levels: what
    dequantisation adds to a pixel changes no density. For gradients nets read the pixel itself, since a level
    has none: the gradient of the density is a substitute.

    ``known`` (C, H, W) and ``groups`` (G, C, H, W) are masks, as ``LevelGroups`` takes them.

    >>> flow = flows.lattice((8, 8), width=4, blocks=1, components=2)
    >>> [step for step in flow.transforms if isinstance(step, flows.LatticeLevel)][-1].extra_repr()
    'groups=4, channels=[0], components=2'
    """

    def __init__(
        self,
        known: Tensor,
        groups: Tensor,
        width: int,
        blocks: int,
        components: int,
        joint: bool = False,
        anywhere: bool = False,
        head_layers: int = 1,
        template: bool = False,
        interpolate: bool = False,
        stepped: bool = False,
    ) -> None:
        super().__init__()
        self.components, self.joint, self.template, self.stepped = components, joint, template, stepped
        self.groups = LevelGroups(known, groups)
        self.code = PixelCode(CODE)
        start, cells = UnitMixture.start(components, around_zero=interpolate), (1, 1) if anywhere else groups.shape[2:]
        if joint:
            usual = groups.shape[1] if template else 0
            self.net: CellNet | PlaceNet = PlaceNet(
                self.colours * CODE * len(self.groups.useful),
                self.places,
                cells,
                width,
                blocks,
                start,
                self.colours,
                CODE,
                head_layers,
                usual,
            )
        else:
            self.net = CellNet(CODE * groups.shape[1], len(groups), cells, width, blocks, start)
        self.interpolation = None
        if interpolate:
            seen = self.groups.seen[:: self.colours]
            self.interpolation = Interpolation(seen, self.groups.masks[:: self.colours], self.colours)

    @property
    def colours(self) -> int:
        """The number of colours of a pixel."""
        return self.groups.colours

    @property
    def places(self) -> int:
        """The number of groups of one colour."""
        return self.groups.places

    def on_grid(self, groups: LevelGroups) -> LatticeLevel:
        """This level for pictures of another size, with the same nets. Only of a level that works ``anywhere``."""
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.groups = groups
        return other

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, log_slope = self.to_latent(x)
        return y, self.groups.total(log_slope)

    def to_latent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) -> y (B, C, H, W) and the log-slopes (G B, H, W) of the groups' planes."""
        z, log_slope = self.mixture(x).to_latent(self.groups.own(x))
        y = x.clone()
        self.groups.put(y, z)
        return y, log_slope

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x, total = y.clone(), no_volume_change(y)
        for (index, channel), mixture in zip(enumerate(self.groups.channels), self._one_by_one(x), strict=True):
            pixels, log_slope = mixture.from_latent(y[:, channel])
            self.groups.put_one(x, pixels, index)
            total = total + torch.where(self.groups.masks[index], log_slope, 0).flatten(1).sum(dim=1)
        return x, total

    def redraw(self, x: Tensor, chosen: Tensor, uniform: Tensor, latents: Tensor, log_slopes: Tensor) -> None:
        """Redraw the chosen entries of x (B, C, H, W) that belong to this level, in place, group after group.

        Writes the latents and log-slopes of all entries of the level, for the new x, into ``latents`` and
        ``log_slopes`` (B, C, H, W).
        """
        for (index, channel), mixture in zip(enumerate(self.groups.channels), self._one_by_one(x), strict=True):
            pixels = x[:, channel].where(~chosen[:, channel], mixture.draw(uniform[:, channel]))
            self.groups.put_one(x, pixels, index)
            for target, plane in zip((latents, log_slopes), mixture.to_latent(pixels), strict=True):
                self.groups.put_one(target, plane, index)

    def _one_by_one(self, x: Tensor) -> Iterator[UnitMixture]:
        """The mixtures of each group, from what x holds when its turn comes.

        The body of a joint level's net sees nothing of a place's own colours, so one pass of it serves all of them.
        """
        body: Sequence[Tensor] = ()
        for index in range(len(self.groups)):
            if not isinstance(self.net, PlaceNet):
                yield self.mixture(x, index)
                continue
            place, colour = divmod(index, self.colours)
            places = range(place, place + 1)
            if colour == 0:
                seen, around = self._seen(x, places, None)
                body = self.net.body(seen, slice(place, place + 1))
            before = self._before(x, places, colour)
            raw = self.net.of_colour(body, self._codes(before, places), colour)
            yield self._mixture_of(self._moved(raw.to(x.dtype), before, around, places, colour))

    def mixture(
        self, x: Tensor, index: int | None = None, inside: Tensor | None = None, template: Tensor | None = None
    ) -> UnitMixture:
        """The mixtures of one group's pixels (B, ...), or of all groups (G B, ...); x must hold all known pixels.

        Bodies of nets see nothing of pixels where ``inside`` (B, rows, columns) is false, as beyond a border. Heads of
        later colours see the first colours of the cells around theirs wherever those are.
        ``template`` (B, colours, rows, columns), from -1 to 1, is what is usual at each place.
        """
        which = range(len(self.groups)) if index is None else range(index, index + 1)
        if self.joint:
            return self._mixture_of(self._jointly(x, index, inside, template).to(x.dtype))
        code = _within(self.code(self._read(x, which[-1])), inside)
        seen = self.groups.seen_of(code, which).flatten(1, 3)
        raw: Tensor = self.net(seen, slice(which[0], which[-1] + 1))
        return self._mixture_of(raw.to(x.dtype))

    def _jointly(self, x: Tensor, index: int | None, inside: Tensor | None, template: Tensor | None) -> Tensor:
        """The raw parameters of one group's mixtures, or of all groups', by one pass for each place."""
        place, colour = (None, None) if index is None else divmod(index, self.colours)
        every = range(self.places)
        return self._of_places(x, every if place is None else range(place, place + 1), colour, inside, template)

    def _of_places(
        self, x: Tensor, places: range, colour: int | None, inside: Tensor | None, template: Tensor | None
    ) -> Tensor:
        """The raw parameters of the mixtures of some places, of one colour or of all."""
        n = self.colours
        seen, around = self._seen(x, places, inside)
        before = self._before(x, places, n - 1 if colour is None else colour)
        usual = None if template is None else torch.cat([self.groups.shifted(template, place * n) for place in places])
        codes = self._codes(before, places)
        raw: Tensor = self.net(seen, codes, slice(places[0], places[-1] + 1, places.step), colour, usual)
        raw = self._moved(raw.to(x.dtype), before, around, places, colour)
        if colour is None and n > 1:
            apart = raw.reshape(len(places), len(x), n, -1, *raw.shape[2:])
            raw = apart.transpose(1, 2).flatten(0, 2)
        return raw

    def _mixture_of(self, raw: Tensor) -> UnitMixture:
        return SteppedMixture(raw, self.components) if self.stepped else UnitMixture(raw, self.components)

    def _read(self, x: Tensor, index: int) -> Tensor:
        """The pixels (B, colours, rows, columns) that a group knows, as nets read them, 0 elsewhere.

        Entries of x that are not known may be latents, which are not pixels and may be large.
        """
        pixels = torch.where(self.groups.known[index], functional.pixel_shuffle(x, CELL), 0)
        return _grey_levels(pixels) if self.stepped else pixels

    def _seen(self, x: Tensor, places: range, inside: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the body of the net sees of some places, (P B, channels, H, W); and what their means are moved to.

        The second is what the known pixels around each place let expect, as logits (P B, colours, H, W), where the
        level interpolates.
        """
        n = self.colours
        pixels, which = self._read(x, places[-1] * n), range(places[0] * n, places[-1] * n + 1, n * places.step)
        seen = self.groups.seen_of(_within(self.code(pixels), inside), which)
        inputs = seen.index_select(3, self.groups.useful).flatten(1, 3)
        if self.interpolation is None:
            return inputs, None
        around = self.groups.seen_of(_within(logits(pixels), inside), which).flatten(1, 3)
        return inputs, self.interpolation.around(around, places)

    def _before(self, x: Tensor, places: range, count: int) -> Tensor:
        """The first colours (P B, ``count``, H, W) of some places' own pixels, which the colours after them know.

        They are 0 in cells where a place has none: of another group they may be unknown.
        """
        if not count:
            return x.new_zeros(len(places) * len(x), 0, *x.shape[2:])
        own = torch.where(self._cells(places).unsqueeze(1), self.groups.own_colours(x, places, count), 0)
        own = own.transpose(1, 2).flatten(0, 1)
        return _grey_levels(own) if self.stepped else own

    def _codes(self, before: Tensor, places: range) -> Tensor:
        """The codes (P B, E ``count``, H, W) of colours of some places' own pixels, which heads see."""
        if not before.shape[1]:
            return before
        code: Tensor = self.code(before)
        code = code.reshape(len(places), -1, *code.shape[1:])
        return (code * self._cells(places).unsqueeze(1)).flatten(0, 1)

    def _cells(self, places: range) -> Tensor:
        """In which cells some places have pixels of their own: (P, 1, H, W)."""
        n = self.colours
        return self.groups.masks[places[0] * n : places[-1] * n + 1 : n * places.step].unsqueeze(1)

    def _moved(self, raw: Tensor, before: Tensor, around: Tensor | None, places: range, colour: int | None) -> Tensor:
        """Raw parameters; where a level interpolates, with their means moved to the guess.

        ``around`` and ``before`` are of ``_seen`` and ``_before``.
        """
        if self.interpolation is None or around is None:
            return raw
        asked = range(self.colours) if colour is None else range(colour, colour + 1)
        guess = self.interpolation.guess(around, logits(before), places, asked)
        each = raw.reshape(len(raw), len(asked), -1, *raw.shape[2:])
        return UnitMixture.moved(each, guess, self.components).flatten(1, 2)

    def partial_log_density(self, x: Tensor, start: int, stride: int = 2, template: Tensor | None = None) -> Tensor:
        """The log-density (B,) of the level's pixels, estimated from every ``stride``-th place from ``start`` on.

        Of a joint level. The mean over all starts is the log-density, for 1 / ``stride`` of the work each.
        """
        n, cells = self.colours, self.groups.masks.shape[1:]
        places = range(start, self.places, stride)
        mixture = self._mixture_of(self._of_places(x, places, None, None, template).to(x.dtype))
        own = torch.cat([x[:, self.groups.channels[place * n + colour]] for place in places for colour in range(n)])
        mask = self.groups.masks.reshape(-1, n, *cells)[start::stride].flatten(0, 1)
        density = mixture.log_density(own).reshape(len(mask), -1, *cells)
        return stride * torch.where(mask.unsqueeze(1), density, 0).sum(dim=(0, 2, 3))

    def extra_repr(self) -> str:
        channels = list(dict.fromkeys(self.groups.channels))
        return f"groups={len(self.groups)}, channels={channels}, components={self.components}"


def _within(code: Tensor, inside: Tensor | None) -> Tensor:
    """Codes (B, C E, rows, columns), zero where ``inside`` (B, rows, columns) is false."""
    return code if inside is None else code * inside.unsqueeze(1)


def _grey_levels(pixels: Tensor) -> Tensor:
    """The middle of the grey level of each pixel in [0, 1]; for gradients, the pixel itself."""
    middle = ((pixels.detach() * LEVELS).floor().clamp(0, LEVELS - 1) + 0.5) / LEVELS
    return middle + (pixels - pixels.detach())
