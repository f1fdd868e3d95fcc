-- The role of chatmail-push: it reads device tokens, and removes one that the notification
-- service calls dead.

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_push') then
        create role chatmail_push login;
    end if;
end
$$;

grant select (id, addr, token, seen), delete on push_token to chatmail_push;
