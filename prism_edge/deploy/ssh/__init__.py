"""A board behind SSH, reached as the user's own ~/.ssh/config says; nothing ever asks."""
