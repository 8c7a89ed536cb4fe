"""What brings a plan into the kernel: nftables over netlink."""
