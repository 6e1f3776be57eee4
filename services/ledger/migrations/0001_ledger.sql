-- The ledger: accounts, transfers between them, and the entries they consist of.
--
-- Append-only three times over: the service's role has no UPDATE, DELETE or
-- TRUNCATE; triggers refuse them to the owner too; and a transfer takes no
-- entries but the ones that it was posted with.
--
-- Run by ledger_owner. The service connects as ledger.

CREATE TABLE accounts (
    account_id    uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    legal_entity  text        NOT NULL CHECK (legal_entity ~ '^[a-z][a-z0-9-]{0,62}$'),
    kind          text        NOT NULL CHECK (kind IN ('ACCOUNT_KIND_MERCHANT', 'ACCOUNT_KIND_CLEARING')),
    currency_code text        NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    create_time   timestamptz NOT NULL DEFAULT now(),
    -- What entries refer to: with these in the key, a foreign key is enough to
    -- keep an entry to its account's own currency and legal entity.
    UNIQUE (account_id, legal_entity, currency_code)
);

CREATE UNIQUE INDEX accounts_one_clearing ON accounts (legal_entity, currency_code)
    WHERE kind = 'ACCOUNT_KIND_CLEARING';
CREATE INDEX accounts_by_legal_entity ON accounts (legal_entity, account_id);

-- Which request opened or found which account. Apart from accounts, because
-- several requests may ask for the one clearing account.
CREATE TABLE account_requests (
    caller       text        NOT NULL,
    request_id   uuid        NOT NULL,
    content_hash bytea       NOT NULL CHECK (octet_length(content_hash) = 32),
    account_id   uuid        NOT NULL REFERENCES accounts,
    create_time  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, request_id)
);

CREATE TABLE transfers (
    transfer_id  uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    caller       text        NOT NULL,
    request_id   uuid        NOT NULL,
    content_hash bytea       NOT NULL CHECK (octet_length(content_hash) = 32),
    legal_entity text        NOT NULL,
    leg_count    smallint    NOT NULL CHECK (leg_count BETWEEN 2 AND 100),
    reference    text        NOT NULL CHECK (char_length(reference) <= 140),
    create_time  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (caller, request_id),
    UNIQUE (transfer_id, legal_entity)
);

CREATE TABLE entries (
    entry_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transfer_id   uuid   NOT NULL,
    account_id    uuid   NOT NULL,
    legal_entity  text   NOT NULL,
    currency_code text   NOT NULL,
    -- Credit positive, debit negative. Symmetric, so that every entry can be reversed.
    minor_units   bigint NOT NULL CHECK (minor_units <> 0 AND minor_units > -9223372036854775808),
    UNIQUE (transfer_id, account_id),
    FOREIGN KEY (transfer_id, legal_entity) REFERENCES transfers (transfer_id, legal_entity),
    FOREIGN KEY (account_id, legal_entity, currency_code)
        REFERENCES accounts (account_id, legal_entity, currency_code)
);

-- Pages of entries, and balances: the sum is read from the index alone.
CREATE INDEX entries_by_account ON entries (account_id, entry_id) INCLUDE (minor_units);


-- At commit a transfer has exactly its number of legs and they sum to zero in
-- each currency. Deferred, because between the statements of one transaction
-- it cannot hold yet. Because the number of legs is fixed when the transfer is
-- inserted, no later transaction can add even a balanced pair to it.
CREATE FUNCTION check_transfer() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public
AS $$
DECLARE
    expected integer;
    found    bigint;
    lopsided text;
BEGIN
    SELECT leg_count INTO STRICT expected FROM transfers WHERE transfer_id = NEW.transfer_id;
    SELECT count(*) INTO found FROM entries WHERE transfer_id = NEW.transfer_id;
    IF found <> expected THEN
        RAISE EXCEPTION 'transfer % has % legs, not %', NEW.transfer_id, found, expected
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transfer_has_its_legs';
    END IF;
    SELECT string_agg(unbalanced.currency_code, ', ' ORDER BY unbalanced.currency_code)
      INTO lopsided
      FROM (SELECT currency_code FROM entries WHERE transfer_id = NEW.transfer_id
             GROUP BY currency_code HAVING sum(minor_units) <> 0) AS unbalanced;
    IF lopsided IS NOT NULL THEN
        RAISE EXCEPTION 'transfer % does not sum to zero in %', NEW.transfer_id, lopsided
            USING ERRCODE = 'check_violation', CONSTRAINT = 'transfer_sums_to_zero';
    END IF;
    RETURN NULL;
END
$$;

-- On transfers for the transfer without entries, on entries for the entry that
-- comes later. For each row, because constraint triggers know nothing else: a
-- transfer of n legs is checked n + 1 times, and n is 2 almost always.
CREATE CONSTRAINT TRIGGER transfer_is_whole
    AFTER INSERT ON transfers DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION check_transfer();
CREATE CONSTRAINT TRIGGER transfer_stays_whole
    AFTER INSERT ON entries DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION check_transfer();


CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog
AS $$
BEGIN
    RAISE EXCEPTION '% of % refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON account_requests
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();


REVOKE ALL ON accounts, account_requests, transfers, entries FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO ledger;
GRANT SELECT, INSERT ON accounts, account_requests, transfers, entries TO ledger;
