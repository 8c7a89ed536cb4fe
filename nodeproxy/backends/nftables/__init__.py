"""nftables over raw netlink: flat maps, element changes, a mirror of the kernel."""
