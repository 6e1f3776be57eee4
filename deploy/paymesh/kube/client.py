"""One connection to one cluster: objects as dictionaries, errors as sentences.

Kinds are found through the API server's own discovery and kept in memory: the
`kubernetes` package's dynamic client would keep them in a file that any user of
the machine may have put there before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import urllib3.exceptions
from kubernetes import client

from paymesh.kube import refusals
from paymesh.kube.errors import NotFound, Unreachable
from paymesh.kube.objects import MANAGER, Key, Object, key

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_TIMEOUT_SECONDS = (5, 30)
_PAGE = 500


class Kind(NamedTuple):
    """Where objects of a kind stand in the API."""

    base: str
    plural: str
    namespaced: bool


class Cluster:
    """A cluster, as the user of one context of the kubeconfig."""

    def __init__(self, context: str, configuration: client.Configuration) -> None:
        self.context = context
        self._configuration = configuration
        # Discovery warns nobody, and retries hide that nobody is there.
        configuration.retries = False
        self._api = client.ApiClient(configuration)
        self._kinds: dict[str, dict[str, Kind]] = {}

    def core(self) -> client.CoreV1Api:
        """A client of its own for one stream: the package's streams replace a method of
        theirs, so that no two may share one.
        """
        return client.CoreV1Api(client.ApiClient(self._configuration))

    @property
    def server(self) -> str:
        """The API server's address."""
        return str(self._configuration.host)

    def get(self, wanted: Key) -> Object:
        """One object.

        Raises:
            NotFound: there is none, or no such kind.
        """
        return self.request("GET", self._path(wanted), what=f"get {wanted}")

    def find(self, wanted: Key) -> Object | None:
        """One object, or None."""
        try:
            return self.get(wanted)
        except NotFound:
            return None

    def items(
        self,
        api_version: str,
        kind: str,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
    ) -> list[Object]:
        """Objects of a kind, of one namespace or of all; none when there is no such kind.

        Args:
            api_version: group and version.
            kind: as in a manifest.
            namespace: all of them when left out.
            labels: a label selector.
            fields: a field selector.
        """
        try:
            found = self.kind(api_version, kind)
        except NotFound:
            return []
        path = _collection(found, namespace)
        objects: list[Object] = []
        more = ""
        while True:
            query = {
                "limit": _PAGE,
                "continue": more,
                "labelSelector": labels,
                "fieldSelector": fields,
            }
            page = self.request("GET", path, query, what=f"list {kind}s in {namespace or 'all'}")
            objects += [{"apiVersion": api_version, "kind": kind, **item} for item in page["items"]]
            more = page["metadata"].get("continue", "")
            if not more:
                return objects

    def apply(self, value: Object, *, force: bool = False, dry_run: bool = False) -> Object:
        """Server-side apply as field manager `paymesh`.

        Args:
            value: the fields that are to be ours.
            force: takes fields over that others manage.
            dry_run: everything but writing it down.

        Raises:
            Conflict: others manage some of the fields.
            Invalid: it was refused.
        """
        wanted = key(value)
        query = {
            "fieldManager": MANAGER,
            "force": "true" if force else "false",
            "dryRun": "All" if dry_run else "",
        }
        return self.request(
            "PATCH", self._path(wanted), query, value, content=APPLY, what=f"apply {wanted}"
        )

    def create(self, value: Object, *, dry_run: bool = False) -> Object:
        """Makes an object that is not there yet.

        Raises:
            Conflict: it is there.
        """
        wanted = key(value)
        path = _collection(self.kind(wanted.api_version, wanted.kind), wanted.namespace)
        query = {"fieldManager": MANAGER, "dryRun": "All" if dry_run else ""}
        return self.request("POST", path, query, value, what=f"create {wanted}")

    def replace(self, value: Object) -> Object:
        """Writes an object that was read before.

        Raises:
            Conflict: it has changed since.
        """
        wanted = key(value)
        query = {"fieldManager": MANAGER}
        return self.request("PUT", self._path(wanted), query, value, what=f"replace {wanted}")

    def patch(self, wanted: Key, change: Object) -> Object:
        """JSON merge patch (RFC 7386)."""
        query = {"fieldManager": MANAGER}
        return self.request(
            "PATCH", self._path(wanted), query, change, content=MERGE, what=f"patch {wanted}"
        )

    def delete(self, wanted: Key, *, propagation: str = "Background") -> bool:
        """Deletes an object; False when there was none."""
        body = {"propagationPolicy": propagation}
        try:
            self.request("DELETE", self._path(wanted), body=body, what=f"delete {wanted}")
        except NotFound:
            return False
        return True

    def version(self) -> tuple[int, int]:
        """The API server's version, major and minor."""
        found = self.request("GET", "/version", what="ask for the version")
        digits = "".join(c for c in found["minor"] if c.isdigit())
        return int(found["major"]), int(digits)

    def log(self, namespace: str, pod: str, container: str, *, previous: bool, lines: int) -> str:
        """The end of a container's log.

        Raises:
            ClusterError: there is none.
        """
        query = {
            "container": container,
            "tailLines": lines,
            "previous": "true" if previous else "false",
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return self._call("GET", path, query, what=f"read the log of {namespace}/{pod}").decode(
            errors="replace"
        )

    def kind(self, api_version: str, kind: str) -> Kind:
        """Where a kind stands.

        Raises:
            NotFound: the cluster does not know it.
        """
        known = self._kinds.get(api_version)
        if known is None or kind not in known:
            base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
            found = self.request("GET", base, what=f"learn what {api_version} has")
            known = self._kinds[api_version] = {
                item["kind"]: Kind(base, item["name"], item["namespaced"])
                for item in found["resources"]
                if "/" not in item["name"]
            }
        if kind not in known:
            raise NotFound(f"the cluster knows no {kind} in {api_version}")
        return known[kind]

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        what: str,
        content: str = "application/json",
    ) -> Object:
        """One request; `what` says in an error what could not be done.

        Raises:
            ClusterError: or one of its kinds.
        """
        found: Object = json.loads(
            self._call(method, path, query, body, what=what, content=content)
        )
        return found

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        *,
        what: str,
        content: str = "application/json",
    ) -> bytes:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content
        wanted = self._api.param_serialize(
            method,
            path,
            query_params=[(name, value) for name, value in (query or {}).items() if value],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.call_api(*wanted, _request_timeout=_TIMEOUT_SECONDS)
            data = bytes(response.read())
        except (urllib3.exceptions.HTTPError, client.ApiException) as error:
            raise Unreachable(
                f"{self.server} does not answer ({refusals.in_short(error)}):"
                f" is the cluster of context {self.context!r} up?"
            ) from error
        if not 200 <= response.status <= 299:  # noqa: PLR2004
            raise refusals.error(response.status, data, what, self.context)
        return data

    def _path(self, wanted: Key) -> str:
        kind = self.kind(wanted.api_version, wanted.kind)
        return f"{_collection(kind, wanted.namespace)}/{wanted.name}"


def _collection(kind: Kind, namespace: str) -> str:
    if kind.namespaced and namespace:
        return f"{kind.base}/namespaces/{namespace}/{kind.plural}"
    return f"{kind.base}/{kind.plural}"
