"""Boards without boards: real systemd, sshd and links on one machine. Nothing here is mocked."""
