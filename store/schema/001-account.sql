-- Accounts, and the roles that the store's programs log in as (peer authentication through
-- the pg_ident map "chatmail"; no role has a password).

do $$
begin
    if not exists (select from pg_roles where rolname = 'chatmail_auth') then
        create role chatmail_auth login;
    end if;
    if not exists (select from pg_roles where rolname = 'chatmail_cluster') then
        create role chatmail_cluster login;
    end if;
end
$$;

create table account (
    addr text collate "C" primary key
        check (addr ~ '^[^@/]+@[^@/]+$'),
    -- Dovecot's form: scheme prefix and hash. Text that no password matches blocks a login.
    password text not null check (password <> ''),
    created_at timestamptz not null default now(),
    last_login date,
    disabled boolean not null default false,
    enforce_e2ee_incoming boolean not null default true
);

comment on column account.last_login is 'UTC day; null until the first IMAP login';
comment on column account.disabled is 'mail from and to the address is dropped';
comment on column account.enforce_e2ee_incoming is 'refuse cleartext from outside';

-- chatmail-auth creates and reads; a password is never changed by it.
grant select (addr, password), insert (addr, password) on account to chatmail_auth;
