"""Handing out samples, losing replicas, batches that shrink: without Ray, with replicas that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from evalkit.engine.replicas.pool import MOST_DEATHS, Pool, Slot
from evalkit.engine.replicas.trouble import Lost, Trouble
from evalkit.engine.replicas.worker import Home, Replica
from evalkit.errors import OutOfMemory, RunnerError, UsageError
from evalkit.records import Audio, Modality, Response, Sample, Turn

S2T = Modality.S2T


def sample(k: int, seconds: float = 1.0) -> Sample:
    return Sample(f"q{k:02}", "t/t", (Turn("user", (Audio(data=b"x", seconds=seconds),)),))


@dataclass(eq=False)
class Toy:
    """A replica that notes what it is asked together, and fails as `act` says."""

    act: Callable[[list[str]], object] = lambda ids: None
    asked: list[list[str]] = field(default_factory=list)
    together: int = 0
    most: int = 0
    company: list[str] = field(default_factory=list)
    pause: float = 0.001
    dead: bool = False
    where: str = "process 1 on here"

    async def answer(self, samples: Sequence[Sample], modality: Modality) -> list[Response] | Trouble:
        ids = [s.id for s in samples]
        self.asked.append(ids)
        self.together += len(ids)
        self.most = max(self.most, self.together)
        self.company += ids
        await asyncio.sleep(self.pause)
        found = self.act(ids)
        if found is Lost:
            self.dead = True
        if self.dead:
            raise Lost("it was killed")
        self.together -= len(ids)
        self.company = [i for i in self.company if i not in ids]
        return found if isinstance(found, Trouble) else [Response(i, text=f"a {i}") for i in ids]

    def kill(self) -> None:
        self.dead = True


async def never(number: int) -> Toy:
    raise Lost("no place")


def ask(pool: Pool, samples: Sequence[Sample]) -> list[Response | BaseException]:
    async def all_of_them() -> list[Response | BaseException]:
        try:
            return await asyncio.wait_for(
                asyncio.gather(*(pool.ask(s, S2T) for s in samples), return_exceptions=True), 20
            )
        finally:
            await pool.stop()

    return asyncio.run(all_of_them())


def kinds(got: Sequence[Response | BaseException]) -> list[str]:
    return [g.kind if isinstance(g, RunnerError) else getattr(g, "text", type(g).__name__) for g in got]


def test_the_least_busy_replica_is_asked_and_none_more_than_it_may() -> None:
    one, two = Toy(), Toy(pause=0.004)
    got = ask(Pool([Slot(1, one, 3, 0), Slot(2, two, 3, 0)], never), [sample(k) for k in range(40)])
    assert kinds(got) == [f"a q{k:02}" for k in range(40)]
    assert one.most == two.most == 3
    assert len(one.asked) > len(two.asked) > 3  # the faster one has more of them


def test_a_lost_replica_s_samples_are_asked_again_and_none_counts_as_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dying, spare = Toy(lambda ids: Lost if ids == ["q02"] else None), Toy()
    slots = [Slot(1, dying, 4, 0)]

    async def start(number: int) -> Toy:
        return spare

    assert kinds(ask(Pool(slots, start), [sample(k) for k in range(12)])) == [f"a q{k:02}" for k in range(12)]
    assert capsys.readouterr().err.count("was lost") == 1


def test_a_poison_sample_is_found_and_takes_nobody_along(capsys: pytest.CaptureFixture[str]) -> None:
    """It dies with three replicas, the second and third time alone; its neighbours are answered."""
    made: list[Toy] = []
    seen: list[list[str]] = []

    def act(toy: Toy) -> Callable[[list[str]], object]:
        def acts(ids: list[str]) -> object:
            if "q05" in ids:
                seen.append(sorted(toy.company))
                return Lost
            return None

        return acts

    def fresh() -> Toy:
        toy = Toy()
        toy.act = act(toy)
        made.append(toy)
        return toy

    async def start(number: int) -> Toy:
        await asyncio.sleep(0.01)
        return fresh()

    pool = Pool([Slot(n, fresh(), 4, 0) for n in (1, 2)], start)
    got = kinds(ask(pool, [sample(k) for k in range(30)]))
    assert got == ["replica-lost" if k == 5 else f"a q{k:02}" for k in range(30)]
    assert len(seen) == 3 and len(seen[0]) > 1 and seen[1] == seen[2] == ["q05"]
    assert capsys.readouterr().err.count("was lost") == 3


def test_all_replicas_lost_is_one_fatal_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    pool = Pool([Slot(n, Toy(lambda ids: Lost), 2, 0) for n in (1, 2)], never)
    got = ask(pool, [sample(k) for k in range(6)])
    assert all(isinstance(g, RunnerError) and g.fatal and g.kind == "replica-lost" for g in got)
    assert "all replicas were lost" in str(got[0])
    assert capsys.readouterr().err.count("can't be started anew") == 2


def test_the_run_goes_on_without_a_replica_that_can_not_come_back() -> None:
    dying = Toy(lambda ids: Lost)
    pool = Pool([Slot(1, dying, 2, 0), Slot(2, Toy(), 2, 0)], never)
    assert kinds(ask(pool, [sample(k) for k in range(10)])) == [f"a q{k:02}" for k in range(10)]


def test_a_replica_that_only_dies_is_given_up() -> None:
    """However many samples there are: a broken machine does not restart a model for each of them."""
    starts = []

    async def start(number: int) -> Toy:
        starts.append(number)
        return Toy(lambda ids: Lost)

    got = ask(Pool([Slot(1, Toy(lambda ids: Lost), 1, 0)], start), [sample(k) for k in range(50)])
    assert len(starts) == MOST_DEATHS - 1
    assert isinstance(got[-1], RunnerError) and got[-1].fatal


def test_batches_are_full_and_of_one_length() -> None:
    one, two = Toy(), Toy()
    pool = Pool([Slot(1, one, 1, 4), Slot(2, two, 1, 4)], never)
    got = ask(pool, [sample(k, seconds=1.0 + 9 * (k % 2)) for k in range(16)])
    assert kinds(got) == [f"a q{k:02}" for k in range(16)]
    batches = one.asked + two.asked
    assert sorted(len(b) for b in batches) == [4, 4, 4, 4] and min(len(one.asked), len(two.asked)) > 0
    even = [sum(int(i[1:]) % 2 for i in b) for b in batches]
    assert sum(n in (0, 4) for n in even) >= 2  # what was asked once there was a choice


def test_memory_that_runs_out_halves_the_batches_and_one_that_fails_alone_has_failed() -> None:
    def act(ids: list[str]) -> object:
        if len(ids) > 2 or ids == ["q09"]:
            return Trouble.of(OutOfMemory("too many"))
        return Trouble.of(OutOfMemory("too many")) if "q09" in ids else None

    toy = Toy(act)
    got = ask(Pool([Slot(1, toy, 1, 8)], never), [sample(k) for k in range(16)])
    assert kinds(got) == ["out-of-memory" if k == 9 else f"a q{k:02}" for k in range(16)]
    assert not [g for g in got if isinstance(g, RunnerError) and g.retryable]  # no sixth try for it
    assert sum(len(b) > 2 for b in toy.asked) <= 3  # it learns


def test_a_batch_that_fails_is_asked_one_by_one() -> None:
    toy = Toy(lambda ids: Trouble.of(ValueError("a bug")) if "q02" in ids else None)
    got = ask(Pool([Slot(1, toy, 1, 4)], never), [sample(k) for k in range(4)])
    assert kinds(got) == ["a q00", "a q01", "runner-crash", "a q03"]
    assert str(got[2]) == "ValueError: a bug"
    assert [len(b) for b in toy.asked] == [4, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "error",
    [
        UsageError("mend it"),
        OutOfMemory("too long"),
        RunnerError("http-429", "slow down", retryable=True, retry_after=2.5),
        RunnerError("key", "rejected", fatal=True),
        RunnerError("audio-limit", "too long", unsent=True),
    ],
)
def test_errors_arrive_as_what_they_were(error: Exception) -> None:
    got = Trouble.of(error).error()
    assert type(got) is type(error)
    assert vars(got) == vars(error)
    assert str(got) == str(error)


def test_a_replica_sends_the_bytes_of_speech_that_lies_in_a_file_of_its_own(tmp_path: Path) -> None:
    from tests.cli_fixtures import ToyRunner

    class Speaks(ToyRunner):
        async def generate(self, sample: Sample, modality: Modality) -> Response:
            (tmp_path / "said.wav").write_bytes(b"RIFF")
            return Response(sample.id, audio=Audio(path=str(tmp_path / "said.wav")))

    async def answered() -> Response:
        replica = Replica(Home(str(Path.cwd())))
        replica.runner = Speaks("m")
        got = await replica.answer([sample(1)], Modality.S2S)
        assert isinstance(got, list)
        return got[0]

    response = asyncio.run(answered())
    assert response.audio is not None and response.audio.data == b"RIFF"
    assert response.timing["generate"] >= 0
