-- What chatmail-expire sees on the disk counts as a login of that day: a client that stays
-- connected logs in once (store/expire/used.h). Never forward of today, never backwards.
-- _addrs: one address a line; _days: Unix times of days, in the same order.
create function expire_used(_addrs text, _days text) returns void
language sql security definer set search_path = public, pg_temp as $$
    update account a set last_login = u.day
    from (select addr, least((to_timestamp(t::bigint) at time zone 'UTC')::date,
                             (now() at time zone 'UTC')::date) as day
          from unnest(string_to_array(_addrs, chr(10)), string_to_array(_days, chr(10)))
              as x(addr, t)) u
    where a.addr = u.addr and (a.last_login is null or a.last_login < u.day)
$$;
revoke execute on function expire_used from public;
grant execute on function expire_used to chatmail_expire;
