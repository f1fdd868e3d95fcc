-- Invite tokens, and the one way in which chatmail-auth makes an account.
--
-- Of a token only the SHA-256 is known here; chatops makes it and shows it once.

create table invite (
    id bigint generated always as identity primary key,
    token_sha256 bytea not null unique check (length(token_sha256) = 32),
    uses integer not null check (uses between 1 and 1000000),
    used integer not null default 0 check (used between 0 and uses),
    created timestamptz not null default now(),
    expires timestamptz not null
);

comment on column invite.uses is 'accounts that may be made with it';
comment on column invite.used is 'accounts that were made with it';

-- Makes the account, and takes one use of the invite when one is asked for (_invite not
-- null), both or neither. Returns 'created'; 'exists' when somebody else was first, which
-- costs no use; 'refused' when the invite is unknown, expired or used up. Those who race for
-- the last use wait for each other at the row of the invite.
create function account_create(_addr text, _hash text, _invite bytea) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if _invite is not null then
        update invite set used = used + 1
        where token_sha256 = _invite and used < uses and expires > now();
        if not found then
            return 'refused';
        end if;
    end if;
    insert into account (addr, password) values (_addr, _hash)
    on conflict (addr) do nothing;
    if found then
        return 'created';
    end if;
    if _invite is not null then
        update invite set used = used - 1 where token_sha256 = _invite;
    end if;
    return 'exists';
end
$$;
revoke execute on function account_create from public;
grant execute on function account_create to chatmail_auth;

-- Asked before a password is hashed for nothing.
grant select (token_sha256, uses, used, expires) on invite to chatmail_auth;
