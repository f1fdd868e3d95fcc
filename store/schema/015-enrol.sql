-- Invites of gateways: one machine may take each, before it expires. Of the token only the
-- SHA-256 is known here; chatops makes it and shows it once. A row goes when the machine is
-- accepted or turned away.

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_web') then
        create role chatmail_web login;
    end if;
end
$$;

create table gateway_invite (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    number integer not null unique check (number between 1 and 32),
    token_sha256 bytea not null unique check (length(token_sha256) = 32),
    created timestamptz not null default now(),
    expires timestamptz not null,
    script text not null check (length(script) <= 65536),
    fetched integer not null default 0,
    -- What the machine said of itself; null until it came.
    joined timestamptz,
    wg_public_key text check (wg_public_key ~ '^[A-Za-z0-9+/]{43}=$'),
    interfaces text check (length(interfaces) <= 16384),
    seen_from text check (length(seen_from) <= 45)
);

comment on column gateway_invite.script is 'what the machine shall run; no secret is in it';
comment on column gateway_invite.fetched is 'how often the token was used for it';
comment on column gateway_invite.interfaces is 'as "ip -o addr show scope global" says';
comment on column gateway_invite.seen_from is 'from where it came: a machine, no client';

-- The script of an invite that is good still; null otherwise. A line that is pasted again
-- fetches it again, within reason.
create function gateway_enrol_script(_token text) returns text
language sql security definer set search_path = public, pg_temp as $$
    update gateway_invite set fetched = fetched + 1
    where token_sha256 = decode(_token, 'hex') and expires > now() and fetched < 100
    returning script
$$;

-- Takes the token for the machine with that key. 'joined'; 'again', the same machine;
-- 'taken', another one was first; 'refused', no invite is good for it.
create function gateway_enrol_join(_token text, _key text, _interfaces text, _from text)
returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    had text;
    good boolean;
begin
    select wg_public_key, expires > now() into had, good
    from gateway_invite where token_sha256 = decode(_token, 'hex') for update;
    if not found or (had is null and not good) then
        return 'refused';
    end if;
    if had is not null and had <> _key then
        return 'taken';
    end if;
    update gateway_invite
    set wg_public_key = _key, interfaces = _interfaces, seen_from = _from,
        joined = coalesce(joined, now())
    where token_sha256 = decode(_token, 'hex');
    return case when had is null then 'joined' else 'again' end;
end
$$;

revoke execute on function gateway_enrol_script, gateway_enrol_join from public;
grant execute on function gateway_enrol_script, gateway_enrol_join to chatmail_web;
