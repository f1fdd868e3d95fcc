-- What every gateway should be doing: the newest row is in force. An epoch is never given
-- twice, whatever happens to the rows, so it comes from a sequence.

create sequence desired_epoch as bigint;

create table desired_state (
    epoch bigint primary key,
    -- As it travels: base64 signature, line feed, canonical document (docs/bus.md).
    envelope text not null,
    created_at timestamptz not null default now()
);

-- Which name had which number. A number names a tunnel and its addresses, so it is never
-- given to another gateway.
create table gateway (
    number integer primary key check (number between 1 and 32),
    name text not null,
    since timestamptz not null default now()
);

grant select, insert, delete on desired_state to chatmail_cluster;
grant usage on sequence desired_epoch to chatmail_cluster;
grant select, insert on gateway to chatmail_cluster;
