"""An inpainting as the client follows it, without input or output: the calls, and what the events mean."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sluice_client.calls import EVENTS, Answer, Call, problem_error
from sluice_client.errors import UnreadableAnswer
from sluice_client.events import Event
from sluice_client.items import inpainting_body
from sluice_client.pictures import from_data_url, shown
from sluice_client.results import Completions, completions_of

if TYPE_CHECKING:
    from PIL.Image import Image


_PREVIEW = "data:image/png;base64,"


@dataclass(frozen=True)
class Progress:
    """Where an inpainting stands: steps taken of at most ``steps``, and the best log-likelihood so far in nats."""

    step: int
    steps: int
    log_likelihood: float
    _preview: str | None = field(default=None, repr=False)

    @property
    def preview(self) -> Image | None:
        """The completions at this step as a picture; None for vectors."""
        return None if self._preview is None else from_data_url(self._preview)

    def _repr_png_(self) -> bytes | None:
        preview = self.preview
        return None if preview is None else shown(preview)


@dataclass
class Task:
    """An inpainting of the service's, under an id of the client's choice: to begin it twice is to begin it once."""

    id: str
    model: str = ""
    steps: int = 0
    progress: Progress | None = None
    """The latest that was heard."""
    completions: Completions | None = None
    """The result, once it is there."""

    @property
    def path(self) -> str:
        return f"/inpaint/{self.id}"

    def learn(self, event: Event) -> Progress | None:
        """Take in an event; the progress that it tells. Raises the error that ended the inpainting."""
        if event.name == "result":
            self.completions = completions_of(event.data)
        elif event.name == "problem":
            raise problem_error(event.data)
        elif event.name == "progress":
            likelihood, preview = event.data["log_likelihood"], event.data.get("preview")
            found = Progress(
                event.data["step"],
                self.steps,
                float("nan") if likelihood is None else likelihood,
                preview if isinstance(preview, str) and preview.startswith(_PREVIEW) else None,
            )
            self.progress = found
            return found
        return None

    def events(self) -> Call[None]:
        """Asks for the events from now on to the end."""
        return Call("GET", self.path, lambda _: None, headers={"Accept": EVENTS}, repeatable=True)

    def stop(self) -> Call[None]:
        """Ends it after its next step."""
        return Call("DELETE", self.path, lambda _: None, repeatable=True)


class Following:
    """What a caller holds of an inpainting, in both clients."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    def id(self) -> str:
        """The id of the inpainting in the service, under `/inpaint/{id}`."""
        return self._task.id

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._task.completions is not None

    def _result(self) -> Completions:
        if self._task.completions is None:
            raise UnreadableAnswer("the inpainting ended without a result")
        return self._task.completions

    def __repr__(self) -> str:
        told = self._task.progress
        state = "done" if self.done else "begun" if told is None else f"at step {told.step} of {told.steps}"
        return f"{type(self).__name__}({self._task.model}, {state}, id={self.id})"

    def _repr_png_(self) -> bytes | None:
        return None if self._task.completions is None else self._task.completions._repr_png_()


def begin(image: Any, mask: Any | None, **params: Any) -> Call[Task]:
    """Begins an inpainting under a new id. The same request again changes nothing, so that it may be repeated."""
    name = uuid.uuid4().hex
    body = inpainting_body(image, mask)

    def read(answer: Answer) -> Task:
        state = answer.json()
        if not isinstance(state, dict) or state.get("id") != name:
            raise UnreadableAnswer("the answer tells nothing of the inpainting that was begun")
        return Task(name, state["model"], state["steps"])

    return Call("PUT", f"/inpaint/{name}", read, params, body=lambda: body, repeatable=True)
