-- What chatmail_push does, for a Dovecot that it was not built for: Dovecot's own Lua
-- plugin runs this in lmtp. The bell is rung by chatmail-metadata, which a set of
-- messagenew goes to (relay-spec.md 3.3.2; docs/dovecot-plugin.md).

function dovecot_lua_notify_begin_txn(user)
  return user
end

function dovecot_lua_notify_event_message_new(user, event)
  local from = event.from_address or ""
  if from:lower() == user.username:lower() then
    return -- sent to itself, for other devices of the same user
  end
  local box = user:mailbox(event.mailbox)
  box:sync()
  box:metadata_set("/private/messagenew", "")
  box:free()
end

function dovecot_lua_notify_end_txn(user, success)
end
