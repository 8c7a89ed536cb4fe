"""A node whose agent has a configuration file, and a cluster that tells endpoints in both ways."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from lab import manifests, objects
from lab.agent import HEALTH_ADDRESS, AgentProcess
from lab.namespace import Namespace
from lab.objects import Backend, Json, Port
from lab.topology import CLUSTER_CIDRS, NODE_ADDRESSES, private_node
from lab.waiting import eventually
from tests.live.clusters import ApiCluster, Cluster, ManifestCluster
from tests.live.site import POD_PORT, Site

GATE = "EndpointSliceProxying"


class BothApiCluster(ApiCluster):
    """An API server whose controllers write EndpointSlices and Endpoints."""

    def __init__(self, node: Namespace) -> None:
        super().__init__(node, uses_slices=True)

    @property
    def agent_arguments(self) -> Sequence[str]:
        return [f"--master=http://127.0.0.1:{self._port}"]

    def put_backends(self, name: str, ports: Sequence[Port], backends: Sequence[Backend]) -> None:
        super().put_backends(name, ports, backends)
        endpoints = objects.endpoints_object(name, ports, backends)
        self._call(lambda: self._server.put(endpoints))


class BothManifestCluster(ManifestCluster):
    """A directory with EndpointSlices and Endpoints of each Service."""

    def put_backends(self, name: str, ports: Sequence[Port], backends: Sequence[Backend]) -> None:
        super().put_backends(name, ports, backends)
        endpoints = objects.endpoints_object(name, ports, backends)
        manifests.write_objects(self._directory, f"{name}-old-endpoints", [endpoints])


@contextlib.contextmanager
def open_both(source: str, directory: Path, node: Namespace) -> Iterator[Cluster]:
    """Open a cluster of one kind, `manifests` or `api`; see `clusters.open_cluster`."""
    if source == "manifests":
        yield BothManifestCluster(directory)
    else:
        with BothApiCluster(node) as cluster:
            yield cluster


class ConfigFile:
    """The configuration file of the agent under test, as an operator edits it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        first_pair = [f"{a}/{128 if ':' in a else 32}" for a in NODE_ADDRESSES]
        self._document: Json = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": ",".join(CLUSTER_CIDRS),
            "nodePortAddresses": first_pair,
            "healthzBindAddress": "{}:{}".format(*HEALTH_ADDRESS),
            "metricsBindAddress": "127.0.0.1:10249",
            "featureGates": {GATE: True},
        }
        self.write()

    def write(self, **fields: object) -> None:
        """Replace some fields for good; the file appears whole or not at all."""
        self._document |= fields
        self.write_text(msgspec.json.encode(self._document).decode())

    def write_text(self, text: str) -> None:
        """Replace the content by any text."""
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.write_text(text)
        os.replace(beside, self.path)

    def set_gate(self, *, reads_slices: bool) -> None:
        """Choose what tells the endpoints."""
        self.write(featureGates={GATE: reads_slices})


class ConfiguredSite(Site):
    """A site whose agent has a configuration file."""

    def __init__(self, site: Site, config: ConfigFile, log: Path) -> None:
        super().__init__(site.lab, site.cluster, site.agent)
        self.config = config
        self._log = log
        self._is_read = 0

    def logged(self, text: str) -> None:
        """Wait until the agent says something that it has not said when last asked for."""

        def rest() -> str:
            return self._log.read_text()[self._is_read :]

        said = eventually(f"the log says {text!r}", rest, lambda seen: text in seen)
        self._is_read += said.index(text) + len(text)


@contextlib.contextmanager
def configured_site(source: str, directory: Path) -> Iterator[ConfiguredSite]:
    """A node with a running agent that was started with `--config`.

    Args:
        source: `manifests` or `api`.
        directory: an empty one, for everything it keeps in files.
    """
    objects_directory, log = directory / "objects", directory / "log"
    objects_directory.mkdir()
    config = ConfigFile(directory / "config.yaml")
    with private_node() as lab, open_both(source, objects_directory, lab.node) as cluster:
        lab.serve(tcp=[POD_PORT], udp=[POD_PORT])
        arguments = [f"--config={config.path}", *cluster.agent_arguments]
        with AgentProcess(lab.node, arguments, log) as agent:
            eventually("the agent is ready", agent.is_ready)
            yield ConfiguredSite(Site(lab, cluster, agent), config, log)
