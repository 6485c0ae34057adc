"""The cube's ledger against a model: whatever happens in whatever order, a receipt means verified bytes."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from smdown.cubes import append_times, create_cube, open_cube, store, verify
from smdown.cubes.lease import Lease, Owner
from smdown.cubes.repair import repair
from smdown.errors import CubeError, ResourceError
from tests.cubes import example

LATER = (("2020-01-03",), ("2020-01-05", "2020-01-06"))
TILES = tuple(place for place, _ in example.tiles())
WINDOWS = dict(example.tiles())
places = st.sampled_from(TILES)


class Ledger(RuleBasedStateMachine):
    """Runs of two configurations that claim, write, commit, crash, resume, append, damage, verify and repair."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.url = str(self.folder / "cube.zarr")
        self.lease = None
        self.cube = None
        self.made = ""  # fingerprint of what lies there
        self.batches = 0
        self.done = set()  # (row, column, batch) that have a receipt
        self.partly = set()  # keys of objects that were written without a receipt so far
        self.damaged = set()  # tiles with a damaged object and a receipt

    def teardown(self):
        if self.lease is not None:
            self.lease.release()
        shutil.rmtree(self.folder)

    running = precondition(lambda self: self.cube is not None)
    stopped = precondition(lambda self: self.cube is None)
    made_once = precondition(lambda self: self.batches > 0)

    @stopped
    @rule(fingerprint=st.sampled_from(["one", "two"]), fresh=st.booleans())
    def start(self, fingerprint, fresh):
        """Claim the place and take up the cube; another configuration's is refused, or replaced if asked for."""
        lease = Lease(str(self.folder))
        lease.take()
        days = self.days()[: len(example.DAYS)] if self.batches <= 1 else self.days()
        spec = replace(example.SPEC, fingerprint=fingerprint, times=days, made_from={"mode": fingerprint})
        changed = self.made not in {"", fingerprint}
        if changed and not fresh:
            with pytest.raises(CubeError, match=f'mode was "{self.made}", is "{fingerprint}"'):
                create_cube(self.url, spec, resume=True)
            lease.release()
            return
        if changed:
            self.done, self.partly, self.damaged = set(), set(), set()
            spec = replace(spec, times=example.DAYS)
        self.cube = create_cube(self.url, spec, resume=True, fresh=fresh)
        self.lease = lease
        self.batches = len(self.cube.batches)
        self.made = fingerprint
        assert self.found() == self.done, "a changed configuration reuses no tile, the same one loses none"

    @running
    @rule()
    def claim(self):
        """A second run is refused while the first is at work."""
        with pytest.raises(ResourceError, match="another run is at work"):
            Lease(str(self.folder)).take()

    @running
    @rule(place=places, data=st.data())
    def write_partly(self, place, data):
        """Write some objects of a tile, and die before its receipt."""
        batch = data.draw(st.integers(0, self.batches - 1))
        if (*place, batch) in self.done:
            return
        for name, day in self.objects(batch):
            if data.draw(st.booleans()):
                self.write(place, name, day)

    @running
    @rule(place=places, data=st.data())
    def write_and_commit(self, place, data):
        """Write a tile and leave its receipt."""
        batch = data.draw(st.integers(0, self.batches - 1))
        if (*place, batch) in self.done:
            return
        for name, day in self.objects(batch):
            self.write(place, name, day)
        self.cube.commit(*place, batch)
        self.done.add((*place, batch))

    @running
    @rule()
    def stop(self):
        """End in good order."""
        self.lease.release()
        self.lease = self.cube = None

    @running
    @rule(name=st.sampled_from(["sm", "flags", "receipts"]))
    def crash(self, name):
        """Die while an object is written: a temporary file is left, and a lease of a process that is no more."""
        (self.folder / "cube.zarr" / name / "zarr.json.0123.partial").write_bytes(b"half")
        self.lease.release()
        owner = replace(Owner.me(), born=1)
        store.put(str(self.folder / "lease.json"), owner.encode())
        self.lease = self.cube = None

    @running
    @precondition(lambda self: self.batches <= len(LATER))
    @rule()
    def append(self):
        """Add days: what is there stays done, the new days are not."""
        self.cube = append_times(self.url, LATER[self.batches - 1])
        self.batches += 1

    @made_once
    @precondition(lambda self: self.done)
    @rule(data=st.data(), how=st.sampled_from(["lose", "cut", "flip"]))
    def damage(self, data, how):
        """Something happens to an object of a finished tile."""
        tile = data.draw(st.sampled_from(sorted(self.done)))
        name, day = data.draw(st.sampled_from(self.objects(tile[2])))
        lead = (day,) if name != "elevation" else ()
        path = self.folder / "cube.zarr" / name / "c" / "/".join(map(str, (*lead, *tile[:2])))
        if not path.exists():
            return
        content = path.read_bytes()
        if how == "lose" or not content:
            path.unlink()
        elif how == "cut":
            path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        else:
            place = data.draw(st.integers(0, len(content) - 1))
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        self.damaged.add(tile)

    @made_once
    @rule()
    def look_and_repair(self):
        """Verify finds exactly the damaged tiles; repair withdraws exactly their receipts."""
        verdict = verify(self.url, partial=True)
        assert {fault.tile for fault in verdict.faults} == self.damaged, verdict.lines
        assert repair(verdict) == len(self.damaged)
        self.done -= self.damaged
        self.damaged = set()
        if self.cube is not None:
            self.cube = open_cube(self.url)

    @invariant()
    def receipts_are_those_of_the_model(self):
        if self.batches:
            assert self.found() == self.done

    @invariant()
    def what_is_committed_and_sound_is_what_was_written(self):
        if not self.batches:
            return
        cube = open_cube(self.url)
        for row, col, batch in self.done - self.damaged:
            if not any(tile[:2] == (row, col) for tile in self.damaged):
                example.check_values(cube, (row, col), WINDOWS[row, col], {batch})

    def days(self):
        return sum(LATER[: max(0, self.batches - 1)], example.DAYS)

    def objects(self, batch):
        """Return variable and day of each object of a tile in a batch."""
        cube = open_cube(self.url)
        found = []
        for name, variable in cube.variables.items():
            days = range(len(cube.times)) if variable.timed else (0,)
            found += [(name, day) for day in days if cube.batch_of(variable, day) == batch]
        return found

    def write(self, place, name, day):
        window = WINDOWS[place]
        timed = self.cube.variables[name].timed
        self.cube.write(name, example.truth(name, day)[window.slices], window, day if timed else None)

    def found(self):
        cube = open_cube(self.url)
        return {(*place, batch) for batch in range(self.batches) for place in cube.done(batch)}


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestLedger.pytestmark = [pytest.mark.faults]
