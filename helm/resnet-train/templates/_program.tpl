{{- /* A program of the user's own in the place of the trainer, and the meaning of its exit codes. */ -}}

{{- define "resnet-train.programRule" -}}
{{- $run := . -}}
{{- $v := .values -}}
{{- if $v.command -}}
{{- if $v.arch }}{{ include "resnet-train.wrong" (list $run "program-both" (dict "arch" $v.arch)) }}{{ end -}}
{{- range $key := .jobset.ofTheTrainer -}}
{{- $value := get $v $key -}}
{{- $left := or (kindIs "invalid" $value) (and (kindIs "slice" $value) (empty $value)) -}}
{{- if and (hasKey $v $key) (not $left) }}{{ include "resnet-train.wrong" (list $run "program-field" (dict "field" $key)) }}{{ end -}}
{{- end -}}
{{- else -}}
{{- range $flag, $key := .jobset.ofAProgram -}}
{{- if get $v $key }}{{ include "resnet-train.wrong" (list $run "program-lacks" (dict "field" $flag)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* NAME=CODE,… -> sets $run.codes, its text in the order of the table, and the rules of $run.policy. */ -}}
{{- define "resnet-train.exitCodes" -}}
{{- $run := . -}}
{{- $table := dict -}}
{{- $owners := dict -}}
{{- range splitList "," .values.exitCodes -}}
{{- $name := splitList "=" . | first -}}
{{- $code := splitList "=" . | last -}}
{{- $owner := get $owners $code | default $name -}}
{{- if ne $owner $name -}}
{{- include "resnet-train.wrong" (list $run "exit-codes" (dict "got" (printf "%s=%s,%s=%s" $owner $code $name $code))) -}}
{{- end -}}
{{- $_ := set $owners $code $name -}}
{{- $_ := set $table $name (append (get $table $name | default list) (atoi $code)) -}}
{{- end -}}
{{- $texts := list -}}
{{- $after := dict "fail at once" list "restart, not counted" list -}}
{{- range $end := .jobset.ends -}}
{{- range $code := until 256 -}}
{{- if has $code (get $table $end.name | default list) -}}
{{- $texts = append $texts (printf "%s=%d" $end.name $code) -}}
{{- $_ := set $after $end.then (append (get $after $end.then | default list) $code) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $_ := set $run "codes" (join "," $texts) -}}
{{- $hopeless := get $after "fail at once" -}}
{{- $preempted := get $after "restart, not counted" -}}
{{- $listed := concat $hopeless ($run.policy.matchesCodes | ternary $preempted list) -}}
{{- $codes := list -}}
{{- range $code := until 256 }}{{ if has $code $listed }}{{ $codes = append $codes $code }}{{ end }}{{ end -}}
{{- $rules := list -}}
{{- range $rule := $run.policy.job.rules -}}
{{- if or (not $rule.onExitCodes) (eq $rule.onExitCodes.operator "NotIn") -}}
{{- $rules = append $rules $rule -}}
{{- else if $codes -}}
{{- $rules = append $rules (merge (dict "onExitCodes" (merge (dict "values" $codes) $rule.onExitCodes)) $rule) -}}
{{- end -}}
{{- end -}}
{{- $policy := merge (dict "job" (empty $rules | ternary dict (dict "rules" $rules))) $run.policy -}}
{{- if not $rules }}{{ $_ := set $policy "job" dict }}{{ end -}}
{{- range $key := list "jobset" "jobsetWithDeadline" -}}
{{- $kept := list -}}
{{- range $rule := (get $run.policy $key).rules -}}
{{- $ends := eq $rule.name "cannotSucceed" | ternary $hopeless $preempted -}}
{{- if not (has $rule.name (list "cannotSucceed" "preemptedAndSaved")) -}}
{{- $kept = append $kept $rule -}}
{{- else if $ends -}}
{{- $pattern := gt (len $ends) 1 | ternary (printf "(%s)" (join "|" $ends)) (first $ends | toString) -}}
{{- $patterns := list (printf ".*Container trainer for .*exit code %s .*" $pattern) -}}
{{- $kept = append $kept (empty $rule.onJobFailureMessagePatterns | ternary $rule (merge (dict "onJobFailureMessagePatterns" $patterns) $rule)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $policy $key (empty $kept | ternary dict (dict "rules" $kept) | merge (omit (get $run.policy $key) "rules")) -}}
{{- end -}}
{{- $_ := set $run "policy" $policy -}}
{{- end -}}
