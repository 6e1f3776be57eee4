"""The statements of store.py, each a literal; what they may do is granted in migrations/."""

from __future__ import annotations

from typing import LiteralString

RESERVE: LiteralString = """
    INSERT INTO links (link_id, tenant, owner, request_id, fingerprint, institution_id)
    VALUES (%(link_id)s, %(tenant)s, %(owner)s, %(request_id)s, %(fingerprint)s,
            %(institution_id)s)
    ON CONFLICT (tenant, owner, request_id) DO NOTHING
"""

SELECT_RESERVED: LiteralString = """
    SELECT link_id, tenant, owner, institution_id, state, phase, reference, create_time,
           update_time, fingerprint
    FROM links
    WHERE tenant = %(tenant)s AND owner = %(owner)s AND request_id = %(request_id)s
"""

SELECT_LINK: LiteralString = """
    SELECT link_id, tenant, owner, institution_id, state, phase, reference, create_time,
           update_time
    FROM links
    WHERE link_id = %(link_id)s
"""

SELECT_LIVE: LiteralString = """
    SELECT link_id, tenant, owner, institution_id, state, phase, reference, create_time,
           update_time
    FROM links
    WHERE tenant = %(tenant)s AND owner = %(owner)s AND phase = 'LIVE'
      AND (create_time, link_id) < (%(create_time)s, %(after)s)
    ORDER BY create_time DESC, link_id DESC
    LIMIT %(limit)s
"""

SELECT_BEING_REMOVED: LiteralString = """
    SELECT link_id, tenant, owner, institution_id, state, phase, reference, create_time,
           update_time
    FROM links
    WHERE phase = 'REMOVING'
    ORDER BY link_id
    LIMIT %(limit)s
"""

ATTACH: LiteralString = """
    UPDATE links SET reference = %(reference)s, phase = 'LIVE'
    WHERE link_id = %(link_id)s AND phase = 'RESERVED'
"""

MOVE: LiteralString = """
    UPDATE links SET state = %(state)s, update_time = now()
    WHERE link_id = %(link_id)s AND phase = 'LIVE' AND state = 'PENDING' AND state <> %(state)s
"""

BEGIN_REMOVAL: LiteralString = """
    UPDATE links SET phase = 'REMOVING'
    WHERE link_id = %(link_id)s AND phase = 'LIVE'
"""

FINISH_REMOVAL: LiteralString = """
    UPDATE links SET phase = 'REMOVED', reference = NULL
    WHERE link_id = %(link_id)s AND phase = 'REMOVING'
"""
