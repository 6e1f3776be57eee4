"""The SQL of the store. The tables are in migrations/."""

FIND_ACCOUNT_REQUEST = """
    SELECT request.content_hash,
           account_id, legal_entity, kind, currency_code, account.create_time
      FROM account_requests AS request JOIN accounts AS account USING (account_id)
     WHERE request.caller = %(caller)s AND request.request_id = %(request_id)s
"""
# Only the clearing account's index can conflict: the account id is new.
INSERT_ACCOUNT = """
    INSERT INTO accounts (legal_entity, kind, currency_code)
    VALUES (%(legal_entity)s, %(kind)s, %(currency_code)s)
    ON CONFLICT (legal_entity, currency_code) WHERE kind = 'ACCOUNT_KIND_CLEARING' DO NOTHING
    RETURNING account_id, legal_entity, kind, currency_code, create_time
"""
SELECT_CLEARING = """
    SELECT account_id, legal_entity, kind, currency_code, create_time
      FROM accounts
     WHERE legal_entity = %(legal_entity)s AND currency_code = %(currency_code)s
       AND kind = 'ACCOUNT_KIND_CLEARING'
"""
INSERT_ACCOUNT_REQUEST = """
    INSERT INTO account_requests (caller, request_id, content_hash, account_id)
    VALUES (%(caller)s, %(request_id)s, %(content_hash)s, %(account_id)s)
    ON CONFLICT (caller, request_id) DO NOTHING
"""
SELECT_ACCOUNTS = """
    SELECT account_id, legal_entity, kind, currency_code, create_time
      FROM accounts
     WHERE account_id = ANY (%(account_ids)s)
"""
INSERT_TRANSFER = """
    INSERT INTO transfers (caller, request_id, content_hash, legal_entity, leg_count, reference)
    VALUES (%(caller)s, %(request_id)s, %(content_hash)s, %(legal_entity)s, %(leg_count)s,
            %(reference)s)
    ON CONFLICT (caller, request_id) DO NOTHING
    RETURNING transfer_id, create_time
"""
# ORDER BY before the identity is drawn: entry ids ascend in the order of the legs.
INSERT_ENTRIES = """
    INSERT INTO entries (transfer_id, account_id, legal_entity, currency_code, minor_units)
    SELECT %(transfer_id)s, leg.account_id, %(legal_entity)s, leg.currency_code, leg.minor_units
      FROM unnest(%(account_ids)s::uuid[], %(currency_codes)s::text[], %(minor_units)s::bigint[])
           WITH ORDINALITY AS leg (account_id, currency_code, minor_units, place)
     ORDER BY leg.place
"""
FIND_TRANSFER = """
    SELECT transfer_id, content_hash, reference, create_time
      FROM transfers
     WHERE caller = %(caller)s AND request_id = %(request_id)s
"""
SELECT_LEGS = """
    SELECT account_id, currency_code, minor_units
      FROM entries
     WHERE transfer_id = %(transfer_id)s
     ORDER BY entry_id
"""
SELECT_BALANCE = """
    SELECT coalesce(sum(minor_units), 0)::text, count(*)
      FROM entries
     WHERE account_id = %(account_id)s
"""
# The page first and the sums of its accounts only.
SELECT_BALANCES = """
    SELECT page.account_id, page.legal_entity, page.kind, page.currency_code, page.create_time,
           coalesce(total.minor_units, 0)::text, total.entry_count
      FROM (SELECT account_id, legal_entity, kind, currency_code, create_time
              FROM accounts
             WHERE legal_entity = %(legal_entity)s
               AND account_id > %(after)s
             ORDER BY account_id
             LIMIT %(limit)s) AS page
           CROSS JOIN LATERAL
           (SELECT sum(minor_units) AS minor_units, count(*) AS entry_count
              FROM entries
             WHERE entries.account_id = page.account_id) AS total
     ORDER BY page.account_id
"""
SELECT_ENTRIES = """
    SELECT entry_id, transfer_id, minor_units, reference, transfers.create_time
      FROM entries JOIN transfers USING (transfer_id)
     WHERE account_id = %(account_id)s AND entry_id > %(after)s
     ORDER BY entry_id
     LIMIT %(limit)s
"""
