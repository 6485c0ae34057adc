"""Workers as pods of a Kubernetes cluster, by the Dask operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distributed import Client

from smdown.errors import ConfigError, ResourceError
from smdown.runtime.clusters import Adaptive
from smdown.runtime.settings import exported

if TYPE_CHECKING:
    from smdown.runtime.clusters import KubernetesCluster
    from smdown.runtime.profile import Profile


@contextmanager
def open_kubernetes(cluster: KubernetesCluster, profile: Profile) -> Iterator[Client]:
    """Create the cluster's resource, and delete it at the end; the operator makes the pods.

    Raises
    ------
    ConfigError
        If what talks to the operator is not installed.
    ResourceError
        If the cluster cannot be made.
    """
    try:
        from dask_kubernetes.operator import KubeCluster
    except ImportError as error:
        raise ConfigError('Kubernetes needs dask-kubernetes; pip install "smdown[kubernetes]"') from error
    try:
        made = KubeCluster(custom_cluster_spec=cluster_resource(cluster, profile), namespace=cluster.namespace)
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise ResourceError(
            f"got no cluster {cluster.name} from Kubernetes ({text}); see that kubectl works and the operator is there"
        ) from error
    with made, Client(made) as client:
        if isinstance(cluster.workers, Adaptive):
            made.adapt(minimum=cluster.workers.minimum, maximum=cluster.workers.maximum)
        yield client


def cluster_resource(cluster: KubernetesCluster, profile: Profile) -> dict[str, Any]:
    """Return the ``DaskCluster`` that the operator is asked for.

    Requests equal limits, so that no pod is ended for what its neighbours take.
    """
    worker = {"cpu": str(cluster.threads), "memory": str(cluster.memory * 107 // 100)}
    if cluster.gpus:
        worker["nvidia.com/gpu"] = str(cluster.gpus)
    arguments = ["dask", "worker", "--name", "$(DASK_WORKER_NAME)", "--nthreads", str(cluster.threads)]
    arguments += ["--memory-limit", str(cluster.memory), "--death-timeout", "120"]
    scheduler = _container("scheduler", cluster, profile, ["dask", "scheduler"], {"cpu": "1", "memory": "4Gi"})
    scheduler["ports"] = [
        {"name": name, "containerPort": port, "protocol": "TCP"}
        for name, port in (("tcp-comm", 8786), ("http-dashboard", 8787))
    ]
    scheduler["readinessProbe"] = {"httpGet": {"port": "http-dashboard", "path": "/health"}, "periodSeconds": 10}
    selector = {"dask.org/cluster-name": cluster.name, "dask.org/component": "scheduler"}
    ports = [
        {"name": name, "protocol": "TCP", "port": port, "targetPort": name}
        for name, port in (("tcp-comm", 8786), ("http-dashboard", 8787))
    ]
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": cluster.name},
        "spec": {
            "worker": {
                "replicas": cluster.fewest_workers,
                "spec": {
                    "restartPolicy": "Always",
                    "containers": [_container("worker", cluster, profile, arguments, worker)],
                },
            },
            "scheduler": {
                "spec": {"containers": [scheduler]},
                "service": {"type": "ClusterIP", "selector": selector, "ports": ports},
            },
        },
    }


def _container(
    name: str, cluster: KubernetesCluster, profile: Profile, arguments: list[str], resources: dict[str, str]
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": cluster.image,
        "args": arguments,
        "env": [{"name": key, "value": value} for key, value in exported(profile).items()],
        "resources": {"requests": resources, "limits": resources},
    }
    if cluster.secret is not None:
        container["envFrom"] = [{"secretRef": {"name": cluster.secret}}]
    return container
