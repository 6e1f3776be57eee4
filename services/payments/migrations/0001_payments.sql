-- Run by payments_owner. The role payments does the service's work: it inserts,
-- changes the columns that a state changes, and deletes nothing.

-- One row for each idempotency key: who has it, and what was answered.
CREATE TABLE operation (
    operation_id      uuid PRIMARY KEY,
    tenant            text NOT NULL CHECK (tenant <> ''),
    user_sub          text NOT NULL CHECK (user_sub <> ''),
    rpc               text NOT NULL CHECK (rpc IN ('CreatePayment', 'RefundPayment')),
    -- SHA-256; neither the key nor the request is kept.
    key_hash          bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    request_hash      bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    create_time       timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- A new token with each holder keeps a late one from writing.
    lease_token       uuid NOT NULL,
    lease_until       timestamptz NOT NULL,
    attempts          integer NOT NULL DEFAULT 1 CHECK (attempts > 0),
    next_attempt_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Something was stored that has to be finished, whether or not anybody asks again.
    begun             boolean NOT NULL DEFAULT false,
    finish_time       timestamptz,
    answer_payload    bytea,
    answer_code       text,
    answer_reason     text,
    answer_message    text,
    answer_metadata   jsonb,
    UNIQUE (tenant, user_sub, rpc, key_hash),
    -- Finished with a reply, finished with a refusal, or neither.
    CHECK ((finish_time IS NOT NULL) = (num_nonnulls(answer_payload, answer_code) = 1)),
    CHECK (num_nonnulls(answer_payload, answer_code) <= 1),
    CHECK (num_nonnulls(answer_code, answer_reason, answer_message, answer_metadata) IN (0, 4))
);

CREATE INDEX operation_to_finish ON operation (next_attempt_time)
    WHERE begun AND finish_time IS NULL;

-- A payment, from just before its charge is sent. Its id is its operation's.
CREATE TABLE payment (
    payment_id            uuid PRIMARY KEY REFERENCES operation,
    tenant                text NOT NULL,
    created_by            text NOT NULL,
    currency_code         text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    amount_minor_units    bigint NOT NULL CHECK (amount_minor_units > 0),
    merchant_account_id   uuid NOT NULL,
    clearing_account_id   uuid NOT NULL CHECK (clearing_account_id <> merchant_account_id),
    description           text NOT NULL CHECK (char_length(description) <= 140),
    source_kind           text NOT NULL CHECK (source_kind IN ('card_token', 'bank_link')),
    -- Erased once the charge is decided.
    source_reference      text,
    create_time           timestamptz NOT NULL DEFAULT clock_timestamp(),
    stage                 text NOT NULL DEFAULT 'charging'
                          CHECK (stage IN ('charging', 'charged', 'succeeded', 'failed')),
    charge_id             text UNIQUE,
    decline_code          text NOT NULL DEFAULT '',
    transfer_id           uuid UNIQUE,
    set_aside_minor_units bigint NOT NULL DEFAULT 0,
    refunded_minor_units  bigint NOT NULL DEFAULT 0,
    CHECK ((stage = 'charging') = (source_reference IS NOT NULL)),
    CHECK ((stage IN ('charged', 'succeeded')) = (charge_id IS NOT NULL)),
    CHECK ((stage = 'succeeded') = (transfer_id IS NOT NULL)),
    CHECK ((stage = 'failed') = (decline_code <> '')),
    CHECK (stage = 'succeeded' OR set_aside_minor_units = 0),
    CHECK (0 <= refunded_minor_units
           AND refunded_minor_units <= set_aside_minor_units
           AND set_aside_minor_units <= amount_minor_units)
);

CREATE INDEX payment_of_tenant ON payment (tenant, create_time DESC, payment_id DESC);
CREATE INDEX payment_of_user ON payment (tenant, created_by, create_time DESC, payment_id DESC);

-- A refund, from just before it is sent. Its id is its operation's.
CREATE TABLE refund (
    refund_id          uuid PRIMARY KEY REFERENCES operation,
    payment_id         uuid NOT NULL REFERENCES payment,
    currency_code      text NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    amount_minor_units bigint NOT NULL CHECK (amount_minor_units > 0),
    create_time        timestamptz NOT NULL DEFAULT clock_timestamp(),
    stage              text NOT NULL DEFAULT 'returning'
                       CHECK (stage IN ('returning', 'returned', 'succeeded', 'failed')),
    provider_refund_id text UNIQUE,
    failure_code       text NOT NULL DEFAULT '',
    transfer_id        uuid UNIQUE,
    CHECK ((stage IN ('returned', 'succeeded')) = (provider_refund_id IS NOT NULL)),
    CHECK ((stage = 'succeeded') = (transfer_id IS NOT NULL)),
    CHECK ((stage = 'failed') = (failure_code <> ''))
);

CREATE INDEX refund_of_payment ON refund (payment_id);

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO payments;

GRANT SELECT, INSERT ON operation, payment, refund TO payments;

GRANT UPDATE (
    lease_token, lease_until, attempts, next_attempt_time, begun, finish_time,
    answer_payload, answer_code, answer_reason, answer_message, answer_metadata
) ON operation TO payments;

GRANT UPDATE (
    source_reference, stage, charge_id, decline_code, transfer_id,
    set_aside_minor_units, refunded_minor_units
) ON payment TO payments;

GRANT UPDATE (stage, provider_refund_id, failure_code, transfer_id) ON refund TO payments;
