"""Held texts in Bark's thirteen languages. A bar stands at each sentence's end, and is no text.

Each has a title or abbreviation with a full stop, a number with one, and a quotation; some have
tags, songs and dashes. `ESPEAK_S` is how long espeak-ng 1.51 speaks each at its default rate.
"""

MARKED = {
    "en": (
        "Dr. Smith paid $3.50 for it [laughs]. |“Are you sure?” she said. |"
        "He left at 5 p.m. on Jan. 3 — and, well, never came back! \n\n|"
        "♪ In the jungle. The mighty jungle! ♪ |Nobody knew why, e.g. his own brother. |"
        "Mr. Brown, who had come all the way from St. Ives, asked again. |Then it was quiet."
    ),
    "de": (
        "Herr Dr. Müller kam am 3. Oktober nach Hause. |„Wirklich?“, fragte seine Frau. |"
        "Das Buch kostet z. B. 3,50 Euro, bzw. etwas mehr. |[laughs] Gut! |"
        "Am Abend saßen alle — wie immer — im Garten und redeten über das Wetter. |"
        "Dann war es still."
    ),
    "es": (
        "El Sr. García llegó a las 5.30 de la tarde. |¿Cómo está usted? |¡Qué bien! |"
        "«No lo sé», dijo la Dra. López, «pero creo que sí». |"
        "Pesa 3.5 kilos — quizás un poco más. |Después nadie dijo nada. [sighs]"
    ),
    "fr": (
        "M. Dupont est arrivé à 5 h. du matin. |« Vraiment ? » dit-elle. |"
        "Mme. Martin et le Dr. Petit ne sont pas venus. |Cela coûte 3,50 euros — c'est trop ! |"
        "[laughs] Où allons-nous maintenant ? |Puis tout redevint calme."
    ),
    "hi": (
        "डॉ. शर्मा कल दिल्ली से आए। |आप कैसे हैं? |यह बहुत अच्छा है! |"
        "“मुझे नहीं पता,” उसने कहा। |इसकी कीमत 3.50 रुपये है — बहुत कम। |[laughs] फिर सब चुप हो गए।"
    ),
    "it": (
        "Il sig. Rossi è arrivato ieri sera. |«Davvero?» disse lei. |"
        "Il dott. Bianchi, ad es. non è venuto. |Costa 3.50 euro — non molto. |Bene! |"
        "[sighs] Poi nessuno disse più niente."
    ),
    "ja": (
        "昨日、東京から友達が来ました。|元気ですか？|すごい！|「はい、元気です。」と彼は言った。|"
        "値段は3.5ドルです。|[laughs] それから、みんな静かになりました。"
    ),
    "ko": (
        "어제 김 선생님이 서울에서 오셨습니다. |잘 지내세요? |정말 좋아요! |"
        "“잘 모르겠어요.” |값은 3.5달러입니다 — 비싸지 않아요. |"
        "[laughs] 그리고 모두 조용해졌습니다."
    ),
    "pl": (
        "Wczoraj przyszedł prof. Kowalski. |Naprawdę? |„Nie wiem”, powiedziała pani Nowak. |"
        "To kosztuje np. 3,50 złotego — niewiele. |Dobrze! |[laughs] Potem było cicho."
    ),
    "pt": (
        "O Sr. Silva chegou ontem de Lisboa. |Tudo bem? |“Não sei”, disse a Dra. Santos. |"
        "Custa 3.50 reais — não é muito. |Ótimo! |[sighs] Depois ninguém disse nada."
    ),
    "ru": (
        "Вчера приехал г. Иванов из Москвы. |Правда? |«Не знаю», — сказала она. |"
        "Это стоит 3.50 рубля и т. д. в магазине. |Хорошо! |[laughs] Потом стало тихо."
    ),
    "tr": (
        "Dün Dr. Yılmaz İstanbul'dan geldi. |Nasılsınız? |“Bilmiyorum,” dedi kadın. |"
        "Bu 3.50 lira — pahalı değil. |Harika! |[laughs] Sonra herkes sustu."
    ),
    "zh": (
        "昨天我的朋友从北京来了。|你好吗？|太棒了！|“我不知道。”|他说得很慢。|"
        "这本书3.5美元——不贵。|[laughs] 后来大家都安静了。"
    ),
}  # fmt: skip
TEXTS = {language: marked.replace("|", "") for language, marked in MARKED.items()}
SENTENCES = {language: marked.split("|") for language, marked in MARKED.items()}
ESPEAK_S = {  # [s], tags and songs' marks left out; it cannot read Japanese ideographs
    "en": 21.6, "de": 17.4, "es": 14.5, "fr": 12.9, "hi": 12.7, "it": 12.5, "ko": 13.1,
    "pl": 13.0, "pt": 11.3, "ru": 10.6, "tr": 11.7, "zh": 18.1,
}  # fmt: skip
