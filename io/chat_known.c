#include "io/chat_known.h"

#include <stddef.h>
#include <string.h>

static const struct {
  const char *layout, *form;
} known[] = {
#define LD_ANSWER_CHATML "%if add_generation_prompt%<|im_start|>assistant\n%endif%"
    {"chatml", "%for message in messages%<|im_start|>{message.role}\n{message.content}<|im_end|>\n%endfor%" LD_ANSWER_CHATML},
    {"chatml",
     "%for message in messages%%if message.role=='user'%<|im_start|>user\n{message.content}<|im_end|>\n"
     "%elif message.role=='assistant'%<|im_start|>assistant\n{message.content}<|im_end|>\n"
     "%else%<|im_start|>system\n{message.content}<|im_end|>\n%endif%%endfor%" LD_ANSWER_CHATML},
    /* Qwen 3 of July 2025, without thinking: only tools are more. */
    {"chatml",
     "%if tools%<|im_start|>system\n%if messages[0].role=='system'%{messages[0].content}\n\n%endif%# Tools\n\nYou may "
     "call one or more functions to assist with the user query.\n\nYou are provided with function signatures within "
     "<tools></tools> XML tags:\n<tools>%for tool in tools%\n{tool|tojson}%endfor%\n</tools>\n\nFor each function call, "
     "return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
     "\\{\"name\": <function-name>, \"arguments\": <args-json-object>\\}\n</tool_call><|im_end|>\n%else%"
     "%if messages[0].role=='system'%<|im_start|>system\n{messages[0].content}<|im_end|>\n%endif%%endif%"
     "%for message in messages%%if message.content is string%%set content={message.content}%%else%%set content=%%endif%"
     "%if(message.role=='user')or(message.role=='system' and not loop.first)%"
     "<|im_start|>{message.role}\n{content}<|im_end|>\n"
     "%elif message.role=='assistant'%<|im_start|>{message.role}\n{content}%if message.tool_calls%"
     "%for tool_call in message.tool_calls%%if(loop.first and content)or(not loop.first)%\n%endif%"
     "%if tool_call.function%%set tool_call={tool_call.function}%%endif%<tool_call>\n\\{\"name\": \"{tool_call.name}\", "
     "\"arguments\": %if tool_call.arguments is string%{tool_call.arguments}%else%{tool_call.arguments|tojson}%endif%\\}\n"
     "</tool_call>%endfor%%endif%<|im_end|>\n%elif message.role=='tool'%"
     "%if loop.first or(messages[loop.index0-1].role!='tool')%<|im_start|>user%endif%\n<tool_response>\n{content}\n"
     "</tool_response>%if loop.last or(messages[loop.index0+1].role!='tool')%<|im_end|>\n%endif%%endif%%endfor%" LD_ANSWER_CHATML},
#undef LD_ANSWER_CHATML
#define LD_ANSWER_LLAMA3 "%if add_generation_prompt%<|start_header_id|>assistant<|end_header_id|>\n\n%endif%"
    {"llama3",
     "%set loop_messages={messages}%%for message in loop_messages%"
     "%set content=<|start_header_id|>{message.role}<|end_header_id|>\n\n{message.content|trim}<|eot_id|>%"
     "%if loop.index0==0%%set content=<|begin_of_text|>{content}%%endif%{content}%endfor%" LD_ANSWER_LLAMA3},
    {"llama3",
     "<|begin_of_text|>%for message in messages%<|start_header_id|>{message.role}<|end_header_id|>\n\n"
     "{message.content|trim}<|eot_id|>%endfor%" LD_ANSWER_LLAMA3},
#undef LD_ANSWER_LLAMA3
#define LD_TURNS_LLAMA2                                                                                              \
  "%else%%set loop_messages={messages}%%set system_message={false}%%endif%%for message in loop_messages%"          \
  "%if(message.role=='user')!=(loop.index0\\%2==0)%"                                                                 \
  "{raise_exception('Conversation roles must alternate user/assistant/user/assistant/...')}%endif%"                \
  "%if loop.index0==0 and system_message!=false%"                                                                  \
  "%set content=<<SYS>>\n{system_message}\n<</SYS>>\n\n{message.content}%%else%%set content={message.content}%%endif%" \
  "%if message.role=='user'%<s>[INST] {content.strip()} [/INST]"                                                   \
  "%elif message.role=='system'%<<SYS>>\n{content.strip()}\n<</SYS>>\n\n"                                         \
  "%elif message.role=='assistant'% {content.strip()} </s>%endif%%endfor%"
#define LD_SYSTEM_LLAMA2                                                                                             \
  "%if messages[0].role=='system'%%set loop_messages={messages[1:]}%%set system_message={messages[0].content}%"
    {"llama2", LD_SYSTEM_LLAMA2 LD_TURNS_LLAMA2},
    /* As transformers had it for all Llamas; what it asks for is never set. */
    {"llama2", LD_SYSTEM_LLAMA2
     "%elif USE_DEFAULT_PROMPT==true and not '<<SYS>>' in messages[0].content%%set loop_messages={messages}%"
     "%set system_message=DEFAULT_SYSTEM_MESSAGE%" LD_TURNS_LLAMA2},
#undef LD_SYSTEM_LLAMA2
#undef LD_TURNS_LLAMA2
};

/* What some templates begin with, and has no effect: it is always given. */
static const char *const idle[] = {
    "%if not add_generation_prompt is defined%%set add_generation_prompt={false}%%endif%",
    "%if add_generation_prompt is not defined%%set add_generation_prompt={false}%%endif%"};

const char *ld_chat_known(const char *form) {
  for (size_t i = 0; i < sizeof idle / sizeof *idle; i++)
    if (!strncmp(form, idle[i], strlen(idle[i]))) form += strlen(idle[i]);
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(form, known[i].form)) return known[i].layout;
  return NULL;
}
