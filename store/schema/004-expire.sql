-- Removal of inactive accounts, and the role of chatmail-expire, which runs as vmail.
--
-- An account that is being removed is in account_removal and no longer in account: nobody
-- can log in, mail to it is refused. Its name is free again when its mailbox is out of the
-- way. So a run that dies in between leaves a row that says what is still to be done.

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_expire') then
        create role chatmail_expire login;
    end if;
end
$$;

create table account_removal (
    addr text collate "C" primary key,
    since timestamptz not null default now()
);

-- When an account was last used, as far as is known.
create function account_seen(last_login date, created_at timestamptz) returns timestamptz
language sql immutable as $$
    select coalesce(last_login::timestamp at time zone 'UTC', created_at)
$$;

-- Moves at most _limit accounts behind _after, not seen since _before, and forgets their
-- tokens. One that logs in at the same moment stays. A day is the least inactivity, so
-- that whoever may call this cannot remove accounts that are in use.
create function expire_mark(_after text, _before timestamptz, _limit integer)
returns setof text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    _gone text[];
begin
    with victim as (
        select addr from account
        where addr > _after collate "C"
          and account_seen(last_login, created_at) < least(_before, now() - interval '1 day')
        order by addr limit _limit
        for update
    ), gone as (
        delete from account a using victim v where a.addr = v.addr returning a.addr
    )
    select array_agg(addr) into _gone from gone;
    insert into account_removal (addr) select unnest(_gone) on conflict do nothing;
    if to_regclass('public.push_token') is not null then
        delete from push_token where addr = any (_gone);
    end if;
    return query select unnest(_gone) order by 1;
end
$$;
revoke execute on function expire_mark from public;

-- 40001 is a passing failure for chatmail-auth: the client is told to try again.
create function account_not_while_removed() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if exists (select from account_removal where addr = new.addr) then
        raise exception 'the account is being removed' using errcode = '40001';
    end if;
    return new;
end
$$;
create trigger account_not_while_removed before insert on account
    for each row execute function account_not_while_removed();

grant select (addr, last_login, created_at) on account to chatmail_expire;
grant select, delete on account_removal to chatmail_expire;
grant execute on function expire_mark to chatmail_expire;
