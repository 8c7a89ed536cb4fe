"""Where Services and endpoints come from: an API server or a directory of manifests."""
