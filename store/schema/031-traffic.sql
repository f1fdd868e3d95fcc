-- What went through each gateway's own network, by month (UTC), for its traffic budget.

create table gateway_traffic (
    name text not null,
    month date not null,
    bytes bigint not null check (bytes >= 0),
    -- The gateway's counter as it was added last, and the boot that it counts from.
    counter bigint not null,
    boot text not null,
    primary key (name, month)
);
grant select, insert, update, delete on gateway_traffic to chatmail_cluster;
