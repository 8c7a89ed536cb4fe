"""What brings a plan into the kernel: nftables over netlink, or nothing at all (dry run)."""
