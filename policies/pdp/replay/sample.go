package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"paymesh.internal/pdp/candidate"
	"paymesh.internal/pdp/recorded"
	"paymesh.internal/pdp/replay/sample"
	"paymesh.internal/pdp/symbolic"
)

// SampleOptions say what decision log to make.
type SampleOptions struct {
	Bundle  string
	Records int
	Seed    uint64
	Begin   time.Time
	Step    time.Duration
}

// SampleCommand makes the subcommand.
func SampleCommand() *cobra.Command {
	var options SampleOptions
	var begin string
	command := &cobra.Command{
		Use:          "replay-sample --bundle DIR_OR_TARGZ --records N",
		Short:        "Make a decision log of N records as the policy would have decided them",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(command *cobra.Command, _ []string) (err error) {
			if options.Begin, err = time.Parse(time.RFC3339, begin); err != nil {
				return fmt.Errorf("--begin: %w", err)
			}
			candidate.Isolate()
			symbolic.Observe()
			return Sample(command.Context(), options, command.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.StringVar(&options.Bundle, "bundle", "", "directory or packed bundle; its signature is not looked at")
	flags.IntVar(&options.Records, "records", 1000, "how many")
	flags.Uint64Var(&options.Seed, "seed", 1, "equal seeds make equal logs, but for keys")
	flags.StringVar(&begin, "begin", "2026-03-02T08:00:00Z", "time of the first")
	flags.DurationVar(&options.Step, "step", 20*time.Millisecond, "mean time between two")
	if err := command.MarkFlagRequired("bundle"); err != nil {
		panic(err)
	}
	return command
}

// Sample writes a decision log.
func Sample(ctx context.Context, options SampleOptions, to io.Writer) error {
	policies, err := loadPolicies(options.Bundle, "")
	if err != nil {
		return err
	}
	mesh, err := meshOf(policies.loaded.Environment())
	if err != nil {
		return err
	}
	environment, err := policies.of(ctx, "")
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(to, 1<<20)
	day, scratch := sample.NewDay(options.Seed, mesh, options.Begin, options.Step), symbolic.NewScratch()
	for range options.Records {
		asked := day.Next()
		answer, err := environment.decisions[asked.Path].Answer(ctx, &symbolic.Question{
			Time: asked.Time, Input: []byte(asked.Input), Token: []byte(asked.Token), Erasable: erasable(asked.Path),
		}, scratch)
		if err != nil {
			return err
		}
		if answer.Partial {
			return errors.New("the policy reads what the sample does not have")
		}
		writeRecord(out, &asked, answer)
	}
	return out.Flush()
}

func meshOf(environment map[string]any) (sample.Mesh, error) {
	users, _ := environment["users"].(map[string]any)
	texts := map[string]any{
		"trust_domain": environment["trust_domain"], "namespace": environment["namespace"],
		"issuer": users["issuer"], "audience": users["audience"], "kid": recorded.FirstKey(environment),
	}
	found := map[string]string{}
	for name, value := range texts {
		text, ok := value.(string)
		if !ok {
			return sample.Mesh{}, fmt.Errorf("the bundle's environment has no %s", name)
		}
		found[name] = text
	}
	return sample.Mesh{
		TrustDomain: found["trust_domain"], Namespace: found["namespace"],
		Issuer: found["issuer"], Audience: found["audience"], Key: found["kid"],
	}, nil
}

// writeRecord ends in the writer's own error, which Flush returns.
func writeRecord(out *bufio.Writer, asked *sample.Question, answer *symbolic.Answer) {
	result, err := json.Marshal(map[string]any{
		"allowed": answer.Allowed, "reason": answer.Reason, "grant": answer.Grant, "http_status": 200,
		"headers": map[string]string{"x-paymesh-caller": asked.Caller, "x-paymesh-grant": answer.Grant},
	})
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(out, `{"decision_id":%q,"time":%q,"caller":%q,"user":%s,"token":%s,"rpc":%q,"input":%s,"result":%s,"allowed":%t,"reason":%q,"grant":%q,"revision":"1772438400000-0123456789ab","policy_path":%q,"eval_ns":%d}`+"\n",
		asked.ID, asked.Time.Format(time.RFC3339Nano), asked.Caller, asked.User, asked.Token, asked.RPC, asked.Input, result,
		answer.Allowed, answer.Reason, answer.Grant, asked.Path, 90_000+asked.Time.Nanosecond()%100_000)
}
