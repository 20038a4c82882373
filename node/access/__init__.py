"""Who may use the node by HTTP: accounts, roles, sessions, API tokens, sign-in by OpenID Connect."""
