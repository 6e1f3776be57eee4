-- Links to bank accounts.
--
-- What is stored of a bank account is the provider's reference and nothing
-- else. A removed link stays as a row without it, so that its request id is
-- not used again. The trigger keeps every move one-way, whoever makes it; the
-- service's role cannot delete, and can change only what moves.
--
-- Run by bank_link_owner. The service connects as bank_link.

CREATE TABLE links (
    link_id        uuid        PRIMARY KEY,
    tenant         text        NOT NULL CHECK (tenant <> ''),
    owner          text        NOT NULL CHECK (owner <> ''),
    request_id     uuid        NOT NULL,
    -- HMAC-SHA256 of institution and public token, keyed by the link's id.
    fingerprint    bytea       NOT NULL CHECK (octet_length(fingerprint) = 32),
    institution_id text        NOT NULL CHECK (institution_id ~ '^ins_[a-z0-9_]{1,60}$'),
    reference      text        CHECK (reference ~ '^[A-Za-z0-9_-]{12,128}$'),
    state          text        NOT NULL DEFAULT 'PENDING'
                               CHECK (state IN ('PENDING', 'SUCCESS', 'FAILED')),
    phase          text        NOT NULL DEFAULT 'RESERVED'
                               CHECK (phase IN ('RESERVED', 'LIVE', 'REMOVING', 'REMOVED')),
    create_time    timestamptz NOT NULL DEFAULT now(),
    -- When the state last changed.
    update_time    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, owner, request_id),
    CONSTRAINT reference_while_it_is_needed
        CHECK ((reference IS NOT NULL) = (phase IN ('LIVE', 'REMOVING'))),
    CONSTRAINT reserved_is_pending CHECK (phase <> 'RESERVED' OR state = 'PENDING')
);

-- Two links with one reference could not be removed apart.
CREATE UNIQUE INDEX links_one_reference ON links (reference);
-- Pages of a user's links.
CREATE INDEX links_by_owner ON links (tenant, owner, create_time DESC, link_id DESC)
    WHERE phase = 'LIVE';
-- Removals that something interrupted.
CREATE INDEX links_being_removed ON links (link_id) WHERE phase = 'REMOVING';


CREATE FUNCTION keep_links_one_way() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog
AS $$
BEGIN
    IF NEW.state <> OLD.state AND (OLD.state <> 'PENDING' OR OLD.phase <> 'LIVE') THEN
        RAISE EXCEPTION 'link % cannot move from % (%) to %',
            OLD.link_id, OLD.state, OLD.phase, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'state_never_goes_back';
    END IF;
    IF NEW.phase <> OLD.phase
       AND (OLD.phase, NEW.phase) NOT IN
           (('RESERVED', 'LIVE'), ('LIVE', 'REMOVING'), ('REMOVING', 'REMOVED')) THEN
        RAISE EXCEPTION 'link % cannot go from % to %', OLD.link_id, OLD.phase, NEW.phase
            USING ERRCODE = 'check_violation', CONSTRAINT = 'phase_never_goes_back';
    END IF;
    IF OLD.reference IS NOT NULL AND NEW.reference <> OLD.reference THEN
        RAISE EXCEPTION 'link % has its reference', OLD.link_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'reference_never_changes';
    END IF;
    IF (NEW.link_id, NEW.tenant, NEW.owner, NEW.request_id, NEW.fingerprint,
        NEW.institution_id, NEW.create_time)
       IS DISTINCT FROM
       (OLD.link_id, OLD.tenant, OLD.owner, OLD.request_id, OLD.fingerprint,
        OLD.institution_id, OLD.create_time) THEN
        RAISE EXCEPTION 'link % is whose and what it is', OLD.link_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'identity_never_changes';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER one_way BEFORE UPDATE ON links
    FOR EACH ROW EXECUTE FUNCTION keep_links_one_way();


REVOKE ALL ON links FROM PUBLIC;
REVOKE ALL ON FUNCTION keep_links_one_way() FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO bank_link;
GRANT SELECT ON links TO bank_link;
-- A link begins reserved and pending: the defaults are not the service's to choose.
GRANT INSERT (link_id, tenant, owner, request_id, fingerprint, institution_id)
    ON links TO bank_link;
GRANT UPDATE (reference, state, phase, update_time) ON links TO bank_link;
