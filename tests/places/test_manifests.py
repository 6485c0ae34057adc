"""Kubernetes manifests, Dockerfile and compose file: against their schemas, each other, and what profiles give."""

from __future__ import annotations

import importlib
import io
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from dask.config import collect_env, get
from dockerfile_parse import DockerfileParser

from smdown.runtime import load_profile
from smdown.runtime.profile import Profile
from smdown.runtime.settings import exported

ROOT = Path(__file__).parents[2]
KUBERNETES, DOCKER = ROOT / "cluster" / "kubernetes", ROOT / "cluster" / "docker"
MANIFESTS = [
    pytest.param(document, id=f"{path.stem}-{document['kind']}")
    for path in sorted(KUBERNETES.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text())
]
FILES = {"ca.pem", "cert.pem", "key.pem"}


def strict(schema: Any) -> Any:
    """Return a schema that refuses keys it does not name, which Kubernetes would drop without a word."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if (
        "properties" in schema
        and schema.get("type") == "object"
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        found.setdefault("additionalProperties", False)
    return found


def operator_schema(kind: str) -> Any:
    """Return what the Dask operator that is installed for the tests takes."""
    folder = files("dask_kubernetes") / "operator/deployment/helm/dask-kubernetes-operator/crds"
    definition = yaml.safe_load((folder / f"{kind.lower()}.yaml").read_text())
    [version] = [found for found in definition["spec"]["versions"] if found["name"] == "v1"]
    schema = strict(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}  # Kubernetes' own
    return schema


def check(document: dict[str, Any]) -> None:
    """Raise where a manifest is not as its kind wants it."""
    if document["apiVersion"] == "kubernetes.dask.org/v1":
        jsonschema.validate(document, operator_schema(document["kind"]))
        template = document["spec"]["worker"]["spec"]
        check({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker"}, "spec": template})
    else:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def containers(found: Any) -> list[dict[str, Any]]:
    """Return all containers of a document."""
    if isinstance(found, list):
        return [container for part in found for container in containers(part)]
    if not isinstance(found, dict):
        return []
    own = found.get("containers", [])
    return own + [container for key, part in found.items() if key != "containers" for container in containers(part)]


def everything() -> list[dict[str, Any]]:
    return [parameter.values[0] for parameter in MANIFESTS]


def named(kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in everything() if document["kind"] == kind}


@pytest.mark.parametrize("document", MANIFESTS)
def test_manifests_are_what_kubernetes_and_the_operator_take(document):
    check(document)


@pytest.mark.parametrize("kind", ["DaskCluster", "Job"])
def test_the_schemas_refuse_what_is_misspelt(kind):
    [document] = [document for document in everything() if document["kind"] == kind]
    broken = yaml.safe_load(yaml.safe_dump(document))
    containers(broken)[-1]["imagePullPolice"] = "Always"
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.utils.ValidationError)):
        check(broken)


def test_the_kustomization_lists_every_manifest():
    text = (KUBERNETES / "kustomization.yaml").read_text()
    listed = yaml.safe_load(text)["resources"]
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert there - set(listed) == {"gpu.yaml"}, "an addition, which is switched on by hand"
    assert "  # - gpu.yaml" in text
    assert set(listed) <= there


def test_manifests_name_what_there_is():
    """Claims, settings and accounts are in the folder; secrets are not, and are known by name."""
    text = json.dumps(everything())
    assert set(re.findall(r'"claimName": "([^"]+)"', text)) == named("PersistentVolumeClaim")
    assert set(re.findall(r'"configMapRef": {"name": "([^"]+)"', text)) == named("ConfigMap")
    assert set(re.findall(r'"serviceAccountName": "([^"]+)"', text)) == named("ServiceAccount")
    assert set(re.findall(r'"secretName": "([^"]+)"', text)) == {"smdown-tls"}
    assert set(re.findall(r'"secretRef": {"name": "([^"]+)"', text)) == {"smdown-credentials"}
    assert "Secret" not in {document["kind"] for document in everything()}
    [groups] = [document for document in everything() if document["kind"] == "DaskWorkerGroup"]
    assert {groups["spec"]["cluster"]} == named("DaskCluster")


def test_everyone_speaks_tls_with_the_scheduler_of_the_cluster(monkeypatch):
    [cluster], [space] = named("DaskCluster"), named("Namespace")
    address = f"tls://{cluster}-scheduler.{space}.svc.cluster.local:8786"
    settings = {document["metadata"]["name"]: document["data"] for document in everything() if "data" in document}
    for name, value in settings["smdown-run"].items():
        monkeypatch.setenv(name, value)
    profile = load_profile(ROOT / "cluster" / "profiles" / "existing.yaml")
    assert (profile.cluster.address, profile.tls) == (address, "/certs")
    assert settings["smdown-worker"] == exported(Profile())
    for container in containers(everything()):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert mounts["/certs"]["readOnly"] is True
        arguments = container["args"]
        if container["name"] == "worker":
            assert arguments[:2] == ["worker", address]
            assert {"configMapRef": {"name": "smdown-worker"}} in container["envFrom"]
        if container["name"] != "client":
            assert {arg.rpartition("/")[2] for arg in arguments if arg.startswith("--tls-")} == FILES
            env = {part["name"]: part["value"] for part in container["env"]}
            assert get("distributed.comm.require-encryption", config=collect_env(env)) is True


def test_the_scheduler_serves_only_routes_that_exist():
    [cluster] = [document for document in everything() if document["kind"] == "DaskCluster"]
    [scheduler] = cluster["spec"]["scheduler"]["spec"]["containers"]
    env = {part["name"]: part["value"] for part in scheduler["env"]}
    routes = collect_env(env)["distributed"]["scheduler"]["http"]["routes"]
    assert [importlib.import_module(route).routes for route in routes]


def test_every_worker_has_less_memory_than_its_pod_or_container():
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["worker"]
    found = [
        (container["args"], container["resources"]["limits"]["memory"])
        for container in containers(everything())
        if container["name"] == "worker"
    ]
    assert len(found) == 2
    for arguments, pod in [*found, (compose["entrypoint"], compose["mem_limit"].replace("m", "Mi"))]:
        [limit] = [int(arg.split("=")[1].removesuffix("GiB")) for arg in arguments if arg.startswith("--memory-limit")]
        assert limit * 1024 < int(pod[:-2]) * {"Mi": 1, "Gi": 1024}[pod[-2:]] < limit * 1024 * 1.1


def test_the_compose_file_is_one():
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    jsonschema.validate(compose, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose | {"services": {"scheduler": {"imag": "smdown"}}}, schema)
    services = compose["services"]
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["scheduler"]["ports"] == ["127.0.0.1:8787:8787"]
    assert all((DOCKER / name).resolve().is_file() for name in services["worker"]["env_file"])
    for name, service in services.items():
        if name != "client":
            assert {arg.rpartition("/")[2] for arg in service["command"] if "=/certs/" in arg} == FILES
        assert set(service.get("depends_on", {})) <= set(services)


def test_the_dockerfile_copies_what_there_is_and_what_the_context_has():
    parser = DockerfileParser(fileobj=io.BytesIO((DOCKER / "Dockerfile").read_bytes()))
    steps = [(step["instruction"], step["value"]) for step in parser.structure]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for instruction, value in steps
        if instruction == "COPY" and not value.startswith("--from")
        for source in value.split()[:-1]
    ]
    assert copied
    assert {source for source in copied if not (ROOT / source).exists()} == set()
    assert set(copied) == kept
    last = dict(steps[max(n for n, step in enumerate(steps) if step[0] == "FROM") :])
    assert last["USER"] == "1000:1000"
    assert last["ENTRYPOINT"] == '["smdown"]'
    assert "-c constraints.txt" in "".join(value for instruction, value in steps if instruction == "RUN")


def test_the_image_has_extras_that_the_project_has():
    import tomllib

    there = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extras = re.search(r'^ARG EXTRAS="([^"]+)"', (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert extras
    assert set(extras[1].split(",")) <= set(there)


def test_no_launch_file_holds_a_secret():
    for path in [*KUBERNETES.iterdir(), *DOCKER.iterdir()]:
        found = re.findall(r"(?i)(?:secret\w*key|password|token)\"?\s*[:=]\s*([^\s#]+)", path.read_text())
        assert set(found) <= {"false"}, path
