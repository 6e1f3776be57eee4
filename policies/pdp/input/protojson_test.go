package input

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	pbjson "google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Whatever the message holds, its term is that of the protobuf library's own JSON.
func TestProtojsonAgreesWithTheLibrary(t *testing.T) {
	descriptor := methods(t)["bank.v1.Transfers/Send"]
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := dynamicpb.NewMessage(descriptor)
		populate(random, m, 3)
		text, err := pbjson.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		want, err := parseJSON("", string(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := protojson(m)
		if err != nil {
			t.Fatal(err)
		}
		if got.Value.Compare(want.Value) != 0 {
			t.Fatalf("seed %d\n got %v\nwant %v", seed, got, want)
		}
	}
}

// A string that is not UTF-8 (possible in memory, not over the wire) is an error.
func TestProtojsonRefusesInvalidText(t *testing.T) {
	descriptor := methods(t)["bank.v1.Transfers/Send"]
	m := dynamicpb.NewMessage(descriptor)
	m.Set(descriptor.Fields().ByName("account_id"), protoreflect.ValueOfString("\xff"))
	if term, err := protojson(m); err == nil {
		t.Errorf("got %v", term)
	}
}

// populate sets some of the fields, each kind at its extremes too.
func populate(random *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if random.IntN(2) == 0 || (field.Message() != nil && depth == 0) {
			continue
		}
		switch {
		case field.IsMap():
			entries := m.Mutable(field).Map()
			for range random.IntN(3) {
				key := value(random, field.MapKey(), nil, depth).MapKey()
				entries.Set(key, value(random, field.MapValue(), entries.NewValue, depth))
			}
		case field.IsList():
			list := m.Mutable(field).List()
			for range random.IntN(3) {
				list.Append(value(random, field, list.NewElement, depth))
			}
		default:
			m.Set(field, value(random, field, func() protoreflect.Value { return m.NewField(field) }, depth))
		}
	}
}

func value(random *rand.Rand, field protoreflect.FieldDescriptor, fresh func() protoreflect.Value, depth int) protoreflect.Value {
	n := []int64{0, 1, -1, math.MaxInt32, math.MinInt64, math.MaxInt64, random.Int64()}[random.IntN(7)]
	f := []float64{0, math.Copysign(0, -1), 1e-9, 1e21, 0.1, math.NaN(), math.Inf(1), math.Inf(-1), random.NormFloat64()}[random.IntN(9)]
	switch field.Kind() {
	case protoreflect.MessageKind:
		v := fresh()
		if field.Message().FullName() == "google.protobuf.Timestamp" {
			v.Message().Set(field.Message().Fields().ByName("seconds"), protoreflect.ValueOfInt64(random.Int64N(1e9)))
		} else {
			populate(random, v.Message(), depth-1)
		}
		return v
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(n&1 == 0)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "a", "\u2028<\"\\", "日本"}[random.IntN(4)])
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0xff, byte(n)}[:random.IntN(3)])
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(random.IntN(3))) // 2 is unknown
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(n)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(uint64(n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(f))
	default:
		return protoreflect.ValueOfFloat64(f)
	}
}

var sink ast.Value

// A call as Envoy shows it, with a body of one message.
func BenchmarkDocument(b *testing.B) {
	reader := Reader{Methods: methods(b)}
	request := grpcRequest(transferPath, frame(0, transfer(b, hundred)),
		"authorization", "Bearer "+string(make([]byte, 600)), "x-request-id", "3f1b", "traceparent", "00-1-1-01", "user-agent", "grpc")
	b.ReportAllocs()
	for b.Loop() {
		sink, _ = reader.Document(request)
	}
}
