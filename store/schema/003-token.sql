-- Device tokens for push, one row each, and the roles of chatmail-metadata (which keeps
-- them) and chatmail-lastlogin.

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_metadata') then
        create role chatmail_metadata login;
    end if;
    if not exists (select from pg_roles where rolname = 'chatmail_lastlogin') then
        create role chatmail_lastlogin login;
    end if;
end
$$;

create table push_token (
    -- Order of registration: what a client reads back, and the order of pushes.
    id bigint generated always as identity primary key,
    addr text collate "C" not null,
    -- Opaque bytes of the client: any of them may occur, so no text.
    token bytea not null,
    added timestamptz not null default now(),
    seen timestamptz not null default now()
);

-- The key is (addr, token). By a hash, because a token may be longer than an index entry.
create unique index push_token_key on push_token (addr, sha256(token));

comment on column push_token.seen is
    'last registration; valid for 90 days from then, and at most 60 s in the future';

grant select, insert (addr, token), update (seen), delete on push_token
    to chatmail_metadata;
grant select (addr, last_login), update (last_login) on account to chatmail_lastlogin;
