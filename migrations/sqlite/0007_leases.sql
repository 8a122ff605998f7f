-- What one process at a time may do of all that share the database: whoever holds the name, until then.
CREATE TABLE leases (
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    lease_until TEXT NOT NULL,
    CONSTRAINT leases_name PRIMARY KEY (name)
) STRICT;
