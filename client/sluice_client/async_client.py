"""The client for programs with an event loop (asyncio)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sluice_client import operations, sending
from sluice_client.calls import Answer, Call, Operation, error_of, read
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

_LARGE = 2**16
"""Bytes of an answer from which it is read beside the event loop."""


class AsyncClient:
    """A client of one service; see ``Client``, whose arguments and calls these are. Belongs to one event loop."""

    def __init__(
        self,
        url: str | None = None,
        *,
        key: str | None = None,
        timeout: float | None = None,
        retry_for: float = 30.0,
        parallel: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        import httpx

        self._connection = sending.connection(url, key, timeout, retry_for, parallel)
        self._http = httpx.AsyncClient(transport=transport, **self._connection.options())
        self._known = operations.Known()

    def __repr__(self) -> str:
        return f"AsyncClient({self._connection.url!r}{', with a key' if self._connection.key else ''})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sample(
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
        return await self._run(operation, timeout)

    async def score(
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
        """The log-likelihood of each item, and a verdict where the model is calibrated. See ``Client.score``."""
        operation = operations.score(
            self._known, items, model=model, alpha=alpha, fdr=fdr, seed=seed, fit=fit, regions=regions, columns=columns
        )
        return await self._run(operation, timeout)

    async def map(
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
        return await self._run(operation, timeout)

    async def encode(
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
        """Latents of items. ``log_abs_det`` asks for log-determinants too, which takes longer."""
        operation = operations.encode(
            self._known, items, model=model, seed=seed, fit=fit, columns=columns, log_abs_det=log_abs_det
        )
        return await self._run(operation, timeout)

    async def decode(
        self,
        latents: Any,
        *,
        model: str | None = None,
        log_abs_det: bool = False,
        timeout: float | None = None,
    ) -> Decoded:
        """Items that latents (N, *Z) stand for."""
        return await self._run(operations.decode(self._known, latents, model=model, log_abs_det=log_abs_det), timeout)

    async def inpaint(
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
    ) -> AsyncInpainting:
        """Begin to fill in what a mask hides. See ``Client.inpaint``."""
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
        task = await self._one(call, patience)
        return AsyncInpainting(self, task, patience, progress)

    async def models(self, *, timeout: float | None = None) -> Models:
        """The models that serve, those that were refused, and those that are still to be loaded."""
        return await self._run(operations.list_models(self._known), timeout)

    async def model(self, name: str, *, timeout: float | None = None) -> Model:
        """One model with all that the service tells of it."""
        return await self._run(operations.describe(name), timeout)

    async def card(self, name: str, *, timeout: float | None = None) -> str:
        """A model's card, in Markdown."""
        return await self._run(operations.read_card(name), timeout)

    async def load(self, name: str, *, timeout: float | None = None) -> str:
        """Let the service load the default version of its store; the reference of what serves. For administrators."""
        return await self._run(operations.load(name), timeout)

    async def unload(self, name: str, *, timeout: float | None = None) -> None:
        """Let the service serve a name no longer. For administrators."""
        await self._run(operations.unload(name), timeout)

    async def _run(self, operation: Operation[T], timeout: float | None) -> T:
        patience = self._connection.patience(timeout)
        try:
            calls = next(operation)
            while True:
                try:
                    answers = await self._all(calls, patience)
                except SluiceError as error:
                    calls = operation.throw(error)
                else:
                    calls = operation.send(answers)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _all(self, calls: Sequence[Call[Any]], patience: Patience) -> list[Any]:
        free = asyncio.Semaphore(self._connection.parallel)

        async def in_turn(call: Call[Any]) -> Any:
            async with free:
                return await self._one(call, patience)

        pending = [asyncio.ensure_future(in_turn(call)) for call in calls]
        try:
            return list(await asyncio.gather(*pending))
        finally:
            for one in pending:
                one.cancel()

    async def _one(self, call: Call[T], patience: Patience) -> Any:
        import httpx

        while True:
            try:
                answer = sending.answer_of(await self._http.request(**sending.request_of(call, patience)))
            except httpx.TransportError as error:
                pause: float | None = sending.pause_after(error, call, patience, self._connection.url)
            except httpx.DecodingError as error:
                raise sending.undecodable(error) from error
            else:
                pause = patience.pause_after(answer)
                if pause is None:
                    return await _read(call, answer)
            await asyncio.sleep(pause or 0.0)

    async def _follow(self, task: Task, patience: Patience) -> AsyncGenerator[Progress]:
        """Progress to the end; a stream that breaks is taken up again."""
        import httpx

        call = task.events()
        while task.completions is None:
            reader = EventReader()
            try:
                async with self._http.stream(**sending.stream_of(call, patience)) as response:
                    if response.status_code != 200:
                        await response.aread()
                        answer = sending.answer_of(response)
                        pause = patience.pause_after(answer)
                        if pause is None:
                            raise error_of(answer)
                        await asyncio.sleep(pause)
                        continue
                    async for text in response.aiter_text():
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
                await asyncio.sleep(sending.stream_pause_after(error, call, patience, self._connection.url))


class AsyncInpainting(Following):
    """An inpainting that runs in the service; see ``Inpainting``. Iterate over it with ``async for``."""

    def __init__(self, client: AsyncClient, task: Task, patience: Patience, progress: bool | None) -> None:
        super().__init__(task)
        self._client, self._patience, self._wanted = client, patience, progress

    async def __aiter__(self) -> AsyncGenerator[Progress]:
        bar = bar_for(f"inpainting with {self._task.model}", self._wanted)
        try:
            async for progress in self._client._follow(self._task, self._patience):
                bar.show(progress)
                yield progress
        except (DeadlinePassed, asyncio.CancelledError):
            await self._give_up()
            raise
        finally:
            bar.close()

    async def result(self) -> Completions:
        """The completions, the likeliest first."""
        async for _ in self:
            pass
        return self._result()

    async def stop(self) -> None:
        """End it after its next step; ``result()`` then gives the best so far."""
        await self._client._one(self._task.stop(), self._client._connection.patience(None))

    async def _give_up(self) -> None:
        if not self.done:
            with suppress(SluiceError):
                await self.stop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._give_up()


async def _read(call: Call[T], answer: Answer) -> Any:
    if len(answer.content) < _LARGE:
        return read(call, answer)
    return await asyncio.to_thread(read, call, answer)
