-- The account of the echo bot, and the role of chatmail-echo. Its name may be shorter than
-- the rules for new accounts allow, and registrations may be closed: so this one account is
-- made here and not by a login.

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_echo') then
        create role chatmail_echo login;
    end if;
end
$$;

-- Which row of account is the bot's. The time of creation tells it from a later account of
-- somebody else under the same name.
create table echo_claim (
    addr text collate "C" primary key,
    created_at timestamptz not null
);

-- Makes echo@_domain with this password, or gives it this password when it was made here.
-- false: the name belongs to somebody else.
create function echo_account(_domain text, _password text) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    _addr text := 'echo@' || _domain;
    _created timestamptz;
begin
    insert into account (addr, password) values (_addr, _password)
        on conflict (addr) do nothing returning created_at into _created;
    if found then
        insert into echo_claim (addr, created_at) values (_addr, _created)
            on conflict (addr) do update set created_at = excluded.created_at;
        return true;
    end if;
    update account a set password = _password from echo_claim c
        where a.addr = _addr and c.addr = a.addr and c.created_at = a.created_at;
    return found;
end
$$;
revoke execute on function echo_account from public;
grant execute on function echo_account to chatmail_echo;
