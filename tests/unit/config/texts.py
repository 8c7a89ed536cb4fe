"""Configuration files for tests."""

from __future__ import annotations

from pathlib import Path

from nodeproxy.config.load import load_config
from nodeproxy.config.schema import Config

KUBEADM = Path(__file__).parent / "kubeadm.yaml"
"""What kubeadm puts into the ConfigMap kube-proxy: every field, nearly all of them empty."""

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"
"""Two lines: fields begin on the third."""
OWN_HEAD = "---\napiVersion: nodeproxy.config/v1alpha1\nkind: NodeproxyConfiguration\n"


class Folder:
    """Files of one test, written to a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "np.yaml"

    def load(self, fields: str, own: str = "", **flags: str) -> Config:
        """The settings of a file with these fields and of flags, `bind_address="::1"`."""
        self.path.write_text(HEAD + fields + (OWN_HEAD + own if own else ""))
        texts = {name.replace("_", "-"): text for name, text in flags.items()}
        return load_config({"config": str(self.path), **texts}, "node-1")
