# METADATA
# title: What OPA's own decision log leaves out
# description: >-
#   For OPA's official image in the place of our decision point, whose log has a mask of its own
#   (paymesh.log.mask): what that one erases, in the form that OPA understands.
package system.log

# METADATA
# description: >-
#   Paths into OPA's decision event, asked by OPA for each decision before it is written. Our decision
#   point is asked about objects through OPA too, and a record is lost if this rule fails: of these
#   decisions nothing is erased, and nothing is evaluated that could fail.
# entrypoint: true
mask contains path if {
	not _about_object
	some pointer in _pointers
	path := _path(pointer)
}

# Without our mask nothing of the input is recorded.
mask contains "/input" if {
	not _about_object
	not _pointers
}

_about_object if input.path == "paymesh/objects/decision"

_pointers := erased.erase | erased.leave_out if {
	erased := data.paymesh.log.mask with input as input.input
}

# OPA compares names as they would stand in a URL, finds none that has to be escaped there, and moves
# the elements of a list up when it takes one out. What such a path points at is erased with all
# that is around it.
_path(pointer) := concat("", ["/input", pointer]) if {
	regex.match(`^(?:/[A-Za-z:_.-][A-Za-z0-9:_.-]*)+$`, pointer)
} else := "/input/attributes/request/http/headers" if {
	startswith(pointer, "/attributes/request/http/headers/")
} else := "/input/parsed_body/legs" if {
	startswith(pointer, "/parsed_body/legs/")
} else := "/input/parsed_body" if {
	startswith(pointer, "/parsed_body/")
} else := "/input"
