"""The whole pipeline with its working directory in a bucket: a real S3 server on loopback."""

import json
import re

import numpy as np
import pytest

from smdown import cubes, open_project
from smdown.cubes import store
from tests.cubes.conftest import bucket, s3_server  # noqa: F401 - fixtures
from tests.pipeline import make_inputs, smdown, write_project

pytestmark = pytest.mark.timeout(600)


def test_a_run_in_a_bucket_ends_in_the_same_map_as_on_disk(bucket, tmp_path):  # noqa: F811 - the fixture
    project = write_project(tmp_path / "project.yaml", make_inputs(tmp_path / "inputs"))
    places = {"disk": str(tmp_path / "work"), "bucket": f"{bucket}/work"}
    for where, workdir in places.items():
        code, out, err = smdown("run", project, "--cluster", "serial", "--workdir", workdir)
        assert code == 0, (where, err)
        assert "ensemble" in out
    maps = {where: open_project(project, workdir=workdir).mosaic.load() for where, workdir in places.items()}
    assert set(maps["bucket"]) == set(maps["disk"])
    for name, values in maps["disk"].items():
        np.testing.assert_array_equal(maps["bucket"][name], values, err_msg=str(name))
    assert objects(places["bucket"]) == objects(places["disk"])
    assert (
        read(places["bucket"], "evaluation/metrics.json")["layers"]
        == read(places["disk"], "evaluation/metrics.json")["layers"]
    )
    before = store.sizes(places["bucket"])
    code, out, err = smdown("run", project, "--cluster", "serial", "--workdir", places["bucket"])
    assert code == 0, err
    assert store.sizes(places["bucket"]).keys() == before.keys()


def objects(workdir):
    """Names of all that a run left; those of partial results are of the place, too."""
    return {re.sub("partials/[0-9a-f]+/", "partials/", name) for name in store.sizes(workdir)}


def read(workdir, name):
    return json.loads(cubes.get(cubes.join(workdir, name)))
