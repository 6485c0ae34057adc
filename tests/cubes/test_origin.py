"""What differs between what a cube was made from and what is wanted now; and making it again."""

import json
from dataclasses import replace

import pytest

from smdown.cubes import create, create_cube, open_cube, store, verify
from smdown.cubes.origin import check_origin, difference
from smdown.errors import CubeError
from tests.cubes import example

OLD = {
    "prediction": {"constraint": "logit", "days": None},
    "drivers": [{"name": "slope", "at": 30}, {"name": "sand"}],
    "resolutions": [1000, 100],
}


@pytest.mark.parametrize(("new", "said"), [
    (OLD, ""),
    (OLD | {"prediction": {"constraint": "none", "days": None}}, 'prediction.constraint was "logit", is "none"'),
    (OLD | {"drivers": [{"name": "sand"}, {"name": "slope", "at": 50}]}, "drivers.slope.at was 30, is 50"),
    (OLD | {"resolutions": (1000, 50)}, "resolutions was [1000, 100], is [1000, 50]"),
    ({k: v for k, v in OLD.items() if k != "resolutions"}, "resolutions was [1000, 100], is (nothing)"),
    (OLD | {"lattice": "x" * 90}, f'lattice was (nothing), is "{"x" * 56}...'),
    ({f"k{n}": n for n in range(2)} | OLD | {"k9": {}}, "k0 was (nothing), is 0; k1 was (nothing), is 1; k9"),
    ({}, 'prediction.constraint was "logit", is (nothing); prediction.days was null, is (nothing); drivers.slope'),
])  # fmt: skip
def test_the_difference_names_each_value_by_its_path(new, said):
    found = difference(OLD, new)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_many_differences_are_cut_short():
    assert difference({}, {str(n): n for n in range(9)}).endswith("; and 5 more")


@pytest.fixture(params=["file", "memory", "s3"])
def url(request, tmp_path):
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/cube.zarr"
    return str(tmp_path / "cube.zarr") if request.param == "file" else f"memory://{tmp_path}/cube.zarr"


def specs():
    return (replace(example.SPEC, made_from=OLD), replace(example.SPEC, fingerprint="new", made_from={"mode": 1} | OLD))


def test_a_cube_remembers_what_it_was_made_from(url):
    old, new = specs()
    example.fill(create_cube(url, old))
    assert open_cube(url).spec.made_from == json.loads(json.dumps(OLD))
    check_origin(url, {"resolutions": (1000, 100)})
    with pytest.raises(CubeError, match=r"resolutions was \[1000, 100\], is \[50\]; restore that, choose another"):
        check_origin(url, {"resolutions": (50,)})
    with pytest.raises(CubeError, match=r"bundle: mode was \(nothing\), is 1 \(fingerprint abc, now new\); restore"):
        create_cube(url, new, resume=True)
    check_origin(store.join(url, "nowhere"), OLD)


def test_fresh_replaces_what_is_of_another_origin_and_nothing_else(url):
    old, new = specs()
    example.fill(create_cube(url, old))
    assert len(create_cube(url, old, resume=True, fresh=True).done()) == 6
    assert create_cube(url, new, resume=True, fresh=True).done() == set()
    assert verify(url, partial=True).faults == ()
    assert not any("/c/0/0" in key and key.startswith("sm") for key in store.sizes(url))


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_removal_that_was_cut_short_leaves_a_cube_that_is_made_anew(url, monkeypatch, left):
    old, new = specs()
    example.fill(create_cube(url, old))
    calls = []

    def dying(place):
        calls.append(place)
        if len(calls) > left:
            raise KeyboardInterrupt
        delete(place)

    delete = store.delete
    monkeypatch.setattr(create.store, "delete", dying)
    with pytest.raises(KeyboardInterrupt):
        create_cube(url, new, resume=True, fresh=True)
    monkeypatch.undo()
    with pytest.raises(CubeError, match="not a finished cube"):
        open_cube(url)
    example.fill(create_cube(url, new, resume=True))
    assert verify(url).faults == ()
