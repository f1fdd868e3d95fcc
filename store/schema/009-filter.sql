-- The role of chatmail-filter, which asks for each message whether its accounts exist, are
-- disabled, and want cleartext refused.

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_filter') then
        create role chatmail_filter login;
    end if;
end
$$;

grant select (addr, disabled, enforce_e2ee_incoming) on account to chatmail_filter;
