"""BERT as a summariser (Liu & Lapata, "Text Summarization with Pretrained Encoders", 2019) around a body of
transformers, with the names of PreSumm (nlpyang/PreSumm, src/models/{model_builder,encoder}.py)."""

import math

import torch
from torch import nn
from torch.nn import functional as F

HEADS, INNER = 8, 2048


class Linear(nn.Module):
    """PreSumm's Classifier, without its sigmoid."""

    def __init__(self, width: int):
        super().__init__()
        self.linear1 = nn.Linear(width, 1)

    def forward(self, x):
        return self.linear1(x)[:, 0]


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        for name in ("linear_keys", "linear_values", "linear_query", "final_linear"):
            setattr(self, name, nn.Linear(width, width))

    def forward(self, x):
        def split(y):
            return y.view(len(y), HEADS, -1).transpose(0, 1)

        q, k, v = split(self.linear_query(x)), split(self.linear_keys(x)), split(self.linear_values(x))
        weights = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(-1)
        return self.final_linear((weights @ v).transpose(0, 1).reshape(x.shape))


class FeedForward(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(width, INNER), nn.Linear(INNER, width)
        self.layer_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        return x + self.w_2(F.gelu(self.w_1(self.layer_norm(x)), approximate="tanh"))


class Layer(nn.Module):
    """The first one has no norm before its attention."""

    def __init__(self, width: int, first: bool):
        super().__init__()
        self.self_attn, self.feed_forward = Attention(width), FeedForward(width)
        self.layer_norm = nn.Identity() if first else nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        return self.feed_forward(x + self.self_attn(self.layer_norm(x)))


class Transformer(nn.Module):
    """PreSumm's ExtTransformerEncoder, without its sigmoid."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.transformer_inter = nn.ModuleList(Layer(width, i == 0) for i in range(layers))
        self.layer_norm, self.wo = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, 1)

    def forward(self, x):
        places = torch.arange(len(x), dtype=torch.float)[:, None]
        rates = torch.exp(torch.arange(0, x.shape[1], 2, dtype=torch.float) * -(math.log(10000.0) / x.shape[1]))
        waves = torch.stack(((places * rates).sin(), (places * rates).cos()), -1).reshape(len(x), -1)
        x = x + waves.to(x.dtype)
        for layer in self.transformer_inter:
            x = layer(x)
        return self.wo(self.layer_norm(x))[:, 0]


class BertSum(nn.Module):
    """A score for each sentence of a document; above 0 means that it belongs to the summary."""

    def __init__(self, body, layers: int = 0, seq_len: int = 512):
        super().__init__()
        self.config, self.name = body.config, body.base_model_prefix
        width = body.get_input_embeddings().weight.shape[1]
        setattr(self, self.name, body)
        self.ext_layer = Transformer(width, layers) if layers else Linear(width)
        self.stretch(body.embeddings, seq_len)

    def stretch(self, embeddings, seq_len: int):
        """Positions beyond the model's are its last one."""
        table = embeddings.position_embeddings.weight.data
        n = seq_len + (embeddings.padding_idx + 1 if self.config.model_type == "roberta" else 0)
        if n <= len(table):
            return
        longer = torch.cat((table, table[-1:].expand(n - len(table), -1)))
        embeddings.position_embeddings = nn.Embedding.from_pretrained(longer, freeze=False)
        embeddings.register_buffer("position_ids", torch.arange(n)[None], persistent=False)
        if hasattr(embeddings, "token_type_ids"):
            embeddings.register_buffer("token_type_ids", torch.zeros(1, n, dtype=torch.long), persistent=False)

    def forward(self, ids, types, sentences):
        """ids and types (T) of a document, sentences (K): where each begins. Scores (K)."""
        more = {} if self.config.model_type == "distilbert" else {"token_type_ids": types.long()[None]}
        states = getattr(self, self.name)(ids.long()[None], **more).last_hidden_state[0]
        return self.ext_layer(states[sentences.long()])
