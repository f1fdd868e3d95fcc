-- The role of chatmail-web, which may ask of an invite token whether it is good, and nothing
-- else.

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_web') then
        create role chatmail_web login;
    end if;
end
$$;

create function invite_is_good(_invite bytea) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (select from invite
        where token_sha256 = _invite and used < uses and expires > now())
$$;
revoke execute on function invite_is_good from public;
grant execute on function invite_is_good to chatmail_web;
