"""The client for programs without an event loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sluice_client import operations, sending
from sluice_client.calls import Call, Operation, error_of, read
from sluice_client.errors import DeadlinePassed, SluiceError
from sluice_client.events import EventReader
from sluice_client.inpainting import Following, Progress, Task, begin
from sluice_client.models import Model, Models
from sluice_client.patience import Patience
from sluice_client.progress import bar_for
from sluice_client.results import Completions, Decoded, Latents, Maps, Samples
from sluice_client.scores import Scores

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


class Client:
    """A client of one service.

    ``url`` is the service's address (else `SLUICE_URL`, else port 8000 of this machine), ``key`` an API key or the
    administrator's token (else `SLUICE_API_KEY`). ``timeout`` bounds a call in seconds, with all of its requests; None
    leaves each request to the service's own limit. A request that the service has no room for is sent again for
    ``retry_for`` seconds of waiting; one that may have been carried out is not. ``parallel`` requests of a large batch
    are under way at a time. ``transport`` is one of httpx's, for tests and proxies.

    May be used by several threads. Close it, or use it as a context.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float | None = None,
        retry_for: float = 30.0,
        parallel: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        import httpx

        self._connection = sending.connection(url, key, timeout, retry_for, parallel)
        self._http = httpx.Client(transport=transport, **self._connection.options())
        self._known = operations.Known()

    def __repr__(self) -> str:
        return f"Client({self._connection.url!r}{', with a key' if self._connection.key else ''})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def sample(
        self,
        n: int = 1,
        *,
        model: str | None = None,
        seed: int | None = None,
        temperature: float | None = None,
        timeout: float | None = None,
    ) -> Samples:
        """``n`` new items. The first 16 of n=64 are those of n=16 at the same seed."""
        operation = operations.sample(self._known, n, model=model, seed=seed, temperature=temperature)
        return self._run(operation, timeout)

    def score(
        self,
        items: Any,
        *,
        model: str | None = None,
        alpha: float | None = None,
        fdr: float | None = None,
        seed: int | None = None,
        fit: bool = False,
        regions: bool = False,
        columns: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> Scores:
        """The log-likelihood of each item, and a verdict where the model is calibrated.

        ``items``: an array (N, *S) or one item, lists of numbers, images of Pillow's, paths of pictures, of a folder of
        pictures or of an .npy file, or a table by column name (``columns`` chooses some of it, in this order).
        ``fit`` converts pictures of another size or mode. ``regions`` adds the column `regions`: where each image is
        strange. Raises UnusableInput, ServiceError, DeadlinePassed.
        """
        operation = operations.score(
            self._known, items, model=model, alpha=alpha, fdr=fdr, seed=seed, fit=fit, regions=regions, columns=columns
        )
        return self._run(operation, timeout)

    def map(
        self,
        items: Any,
        *,
        model: str | None = None,
        seed: int | None = None,
        fit: bool = False,
        timeout: float | None = None,
    ) -> Maps:
        """Where each image is strange, as the service's map of it. Of models and services that have maps."""
        operation = operations.maps(self._known, items, model=model, seed=seed, fit=fit)
        return self._run(operation, timeout)

    def encode(
        self,
        items: Any,
        *,
        model: str | None = None,
        seed: int | None = None,
        fit: bool = False,
        columns: Sequence[str] | None = None,
        log_abs_det: bool = False,
        timeout: float | None = None,
    ) -> Latents:
        """Latents of items (see ``score``). ``log_abs_det`` asks for log-determinants too, which takes longer."""
        operation = operations.encode(
            self._known, items, model=model, seed=seed, fit=fit, columns=columns, log_abs_det=log_abs_det
        )
        return self._run(operation, timeout)

    def decode(
        self, latents: Any, *, model: str | None = None, log_abs_det: bool = False, timeout: float | None = None
    ) -> Decoded:
        """Items that latents (N, *Z) stand for."""
        return self._run(operations.decode(self._known, latents, model=model, log_abs_det=log_abs_det), timeout)

    def inpaint(
        self,
        image: Any,
        mask: Any | None = None,
        *,
        model: str | None = None,
        n: int | None = None,
        steps: int | None = None,
        method: str | None = None,
        step_size: float | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        fit: bool = False,
        progress: bool | None = None,
        timeout: float | None = None,
    ) -> Inpainting:
        """Begin to fill in what a mask hides: everything but 0 in an array, what is white in a picture.

        Without a mask, NaN in an array or transparency in a picture is filled in. ``progress`` shows a bar, or shows
        none; None decides by where the program runs. The inpainting goes on in the service; see ``Inpainting``.
        """
        call = begin(
            image,
            mask,
            model=model,
            n=n,
            steps=steps,
            method=method,
            step_size=step_size,
            temperature=temperature,
            seed=seed,
            fit=fit or None,
        )
        patience = self._connection.patience(timeout)
        task = self._one(call, patience)
        return Inpainting(self, task, patience, progress)

    def models(self, *, timeout: float | None = None) -> Models:
        """The models that serve, those that were refused, and those that are still to be loaded."""
        return self._run(operations.list_models(self._known), timeout)

    def model(self, name: str, *, timeout: float | None = None) -> Model:
        """One model with all that the service tells of it."""
        return self._run(operations.describe(name), timeout)

    def card(self, name: str, *, timeout: float | None = None) -> str:
        """A model's card, in Markdown."""
        return self._run(operations.read_card(name), timeout)

    def load(self, name: str, *, timeout: float | None = None) -> str:
        """Let the service load the default version of its store; the reference of what serves. For administrators."""
        return self._run(operations.load(name), timeout)

    def unload(self, name: str, *, timeout: float | None = None) -> None:
        """Let the service serve a name no longer. For administrators."""
        self._run(operations.unload(name), timeout)

    def _run(self, operation: Operation[T], timeout: float | None) -> T:
        patience = self._connection.patience(timeout)
        try:
            calls = next(operation)
            while True:
                try:
                    answers = self._all(calls, patience)
                except SluiceError as error:
                    calls = operation.throw(error)
                else:
                    calls = operation.send(answers)
        except StopIteration as end:
            result: T = end.value
            return result

    def _all(self, calls: Sequence[Call[Any]], patience: Patience) -> list[Any]:
        workers = min(self._connection.parallel, len(calls))
        if workers == 1:
            return [self._one(call, patience) for call in calls]
        pool = ThreadPoolExecutor(workers, "sluice-client")
        pending = [pool.submit(self._one, call, patience) for call in calls]
        try:
            return [one.result() for one in pending]
        finally:  # not waited for: after an error or Ctrl-C, what is in flight ends by itself
            pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, call: Call[T], patience: Patience) -> Any:
        import httpx

        while True:
            try:
                answer = sending.answer_of(self._http.request(**sending.request_of(call, patience)))
            except httpx.TransportError as error:
                pause: float | None = sending.pause_after(error, call, patience, self._connection.url)
            except httpx.DecodingError as error:
                raise sending.undecodable(error) from error
            else:
                pause = patience.pause_after(answer)
                if pause is None:
                    return read(call, answer)
            time.sleep(pause or 0.0)

    def _follow(self, task: Task, patience: Patience) -> Iterator[Progress]:
        """Progress to the end; a stream that breaks is taken up again."""
        import httpx

        call = task.events()
        while task.completions is None:
            reader = EventReader()
            try:
                with self._http.stream(**sending.stream_of(call, patience)) as response:
                    if response.status_code != 200:
                        response.read()
                        answer = sending.answer_of(response)
                        pause = patience.pause_after(answer)
                        if pause is None:
                            raise error_of(answer)
                        time.sleep(pause)
                        continue
                    for text in response.iter_text():
                        for event in reader.feed(text):
                            progress = task.learn(event)
                            if progress is not None:
                                yield progress
                        patience.remaining()
                if task.completions is None:
                    raise httpx.RemoteProtocolError("the stream of events ended before the result")
            except httpx.DecodingError as error:
                raise sending.undecodable(error) from error
            except httpx.TransportError as error:
                time.sleep(sending.stream_pause_after(error, call, patience, self._connection.url))


class Inpainting(Following):
    """An inpainting that runs in the service.

    Iterate over it for its progress, or ask for ``result()``, which waits for the end. Both show a progress bar on a
    terminal and in a notebook. ``stop()`` ends it after its next step and keeps the best so far. Used as a context, it
    is stopped where the context ends before it does; so it is by Ctrl-C, and when its timeout passes.
    """

    def __init__(self, client: Client, task: Task, patience: Patience, progress: bool | None) -> None:
        super().__init__(task)
        self._client, self._patience, self._wanted = client, patience, progress

    def __iter__(self) -> Iterator[Progress]:
        bar = bar_for(f"inpainting with {self._task.model}", self._wanted)
        try:
            for progress in self._client._follow(self._task, self._patience):
                bar.show(progress)
                yield progress
        except (DeadlinePassed, KeyboardInterrupt):
            self._give_up()
            raise
        finally:
            bar.close()

    def result(self) -> Completions:
        """The completions, the likeliest first."""
        for _ in self:
            pass
        return self._result()

    def stop(self) -> None:
        """End it after its next step; ``result()`` then gives the best so far."""
        self._client._one(self._task.stop(), self._client._connection.patience(None))

    def _give_up(self) -> None:
        if not self.done:
            with suppress(SluiceError):
                self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_up()
