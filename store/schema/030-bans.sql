-- Sources that may not reach the gateways for a while. chatmail-cluster puts them into the
-- desired state. The only table that holds addresses of clients; a row goes when it is over.

create table ban (
    -- An IPv4 address, or the /64 of an IPv6 address.
    source inet primary key check (masklen(source) = case family(source) when 4 then 32 else 64 end),
    reason text not null check (length(reason) between 1 and 60),
    since timestamptz not null default now(),
    until timestamptz not null
);

-- Returns 'banned', or 'full' when there are as many as a document may have. A ban that is
-- there already is not made shorter, unless _exactly so long is asked for.
create function ban_add(_source text, _seconds integer, _reason text, _exactly boolean)
returns text
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from ban where until <= now();
    if not exists (select 1 from ban where source = _source::inet)
            and (select count(*) from ban) >= 4096 then
        return 'full';
    end if;
    insert into ban (source, reason, until)
    -- Whole seconds: as a document has them, so that both end at the same moment.
    values (_source::inet, _reason,
            date_trunc('second', now() + _seconds * interval '1 second'))
    on conflict (source) do update
    set until = case when _exactly then excluded.until
                     else greatest(ban.until, excluded.until) end,
        reason = excluded.reason;
    perform pg_notify('chatmail_ban', '');
    return 'banned';
end
$$;
revoke execute on function ban_add from public;
grant execute on function ban_add to chatmail_auth, chatmail_cluster;
grant select, delete on ban to chatmail_cluster;
